"""Graphs for OpenVINO that are kept compiled: the same results, and none where the machine is another."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from showtell.errors import CheckpointError, UsageError
from showtell.exporting.folder import check_target
from showtell.runtime import openvino_graphs
from showtell.runtime.manifest import FILE_NAME, Manifest
from showtell.runtime.openvino_graphs import OpenVinoGraph, openvino_core
from showtell.runtime.sessions import open_session, threads

FEATURES = np.random.default_rng(0).normal(size=(3, 4, 128)).astype(np.float32)


@pytest.fixture
def manifest(copied: Path) -> Manifest:
    """Of an export in `copied` whose `start` is there for OpenVINO too, and compiled."""
    path = copied / "start.xml"
    openvino.save_model(openvino_core().read_model(copied / "start.onnx"), path, compress_to_fp16=False)
    manifest = Manifest.load(copied)
    OpenVinoGraph.of(path, manifest).export_compiled(threads())
    files = {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in copied.iterdir() if p.name != FILE_NAME
    }
    manifest = replace(manifest, files=files)
    manifest.save(copied)
    return manifest


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the graph is compiled")


def compiled_path(manifest: Manifest, folder: Path) -> Path:
    return OpenVinoGraph.of(folder / "start.xml", manifest).compiled_path(threads())


def test_a_compiled_model_is_imported(
    copied: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = compiled_path(manifest, copied).name
    assert name in manifest.files
    without = replace(manifest, files={n: sha for n, sha in manifest.files.items() if n != name})
    expected = open_session(copied, "start", without, "openvino").run([FEATURES])
    monkeypatch.setattr(OpenVinoGraph, "compile", never)
    session = open_session(copied, "start", manifest, "openvino")
    for ours, theirs in zip(session.run([FEATURES]), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_holds_no_weights(copied: Path, manifest: Manifest) -> None:
    name, size = "start.bin", compiled_path(manifest, copied).stat().st_size
    compiled = openvino_core().compile_model(copied / "start.xml", "CPU")
    whole = len(compiled.export_model().getvalue())
    assert size < whole - 0.8 * (copied / name).stat().st_size


@pytest.mark.parametrize("what", ["version", "processor", "instructions", "threads"])
def test_where_the_machine_differs_the_graph_is_compiled(
    what: str, copied: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = openvino_graphs._machine().split("\n")
    if what == "threads":
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads() + 1))
    else:
        machine[["version", "processor", "instructions"].index(what)] += " of another"
        monkeypatch.setattr(openvino_graphs, "_machine", lambda: "\n".join(machine))
    monkeypatch.setattr(OpenVinoGraph, "import_compiled", never)
    assert (
        len(open_session(copied, "start", manifest, "openvino").outputs)
        == manifest.context + manifest.recurrent_tensors
    )


def test_the_machine_is_told_by_version_and_instruction_sets() -> None:
    version, _, instructions = openvino_graphs._machine().split("\n")
    assert version == openvino.__version__
    assert instructions == openvino_graphs._instruction_sets()


def test_a_missing_file_is_no_fault(copied: Path, manifest: Manifest) -> None:
    compiled_path(manifest, copied).unlink()
    assert (
        len(open_session(copied, "start", manifest, "openvino").outputs)
        == manifest.context + manifest.recurrent_tensors
    )


def test_what_openvino_refuses_is_compiled(copied: Path, manifest: Manifest) -> None:
    path = compiled_path(manifest, copied)
    path.write_bytes(b"of another OpenVINO")
    model = OpenVinoGraph.of(copied / "start.xml", manifest).import_compiled(path, threads())
    assert len(model.outputs) == manifest.context + manifest.recurrent_tensors


def test_without_an_export_of_openvino_nothing_is_written(
    copied: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Unsupported property CACHE_MODE")

    path = compiled_path(manifest, copied)
    path.unlink()
    monkeypatch.setattr(OpenVinoGraph, "compile", fail)
    OpenVinoGraph.of(copied / "start.xml", manifest).export_compiled(threads())
    assert not path.exists()


def test_a_damaged_file_is_refused(copied: Path, manifest: Manifest) -> None:
    compiled_path(manifest, copied).write_bytes(b"damaged")
    with pytest.raises(
        CheckpointError, match=r"\.blob: damaged \(another checksum\); export the model again"
    ):
        open_session(copied, "start", manifest, "openvino")


def test_it_is_no_part_of_a_fingerprint(copied: Path, manifest: Manifest) -> None:
    assert not any(".blob" in line for line in manifest.checksums())
    assert [line.split()[0] for line in manifest.checksums("start")] == [
        "start.bin",
        "start.onnx",
        "start.xml",
    ]


def test_another_export_replaces_it(copied: Path, manifest: Manifest) -> None:
    check_target(copied)
    (copied / FILE_NAME).unlink()
    with pytest.raises(UsageError, match="holds something else"):
        check_target(copied)
