"""Graphs for OpenVINO that are kept compiled: the same results, and none where the machine is another."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

from showtell.errors import CheckpointError
from showtell.exporting.folder import check_target
from showtell.runtime import openvino_graphs
from showtell.runtime.manifest import FILE_NAME, Manifest
from showtell.runtime.openvino_graphs import OpenVinoGraph, openvino_core
from showtell.runtime.sessions import open_session

FEATURES = np.random.default_rng(0).normal(size=(3, 4, 128)).astype(np.float32)


@pytest.fixture
def manifest(copied: Path) -> Manifest:
    """Of an export in `copied` whose `start` is there for OpenVINO too, and compiled."""
    path = copied / "start.xml"
    openvino.save_model(openvino_core().read_model(copied / "start.onnx"), path, compress_to_fp16=False)
    manifest = Manifest.load(copied)
    OpenVinoGraph.of(path, manifest).save_compiled(2)
    files = {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in copied.iterdir() if p.name != FILE_NAME
    }
    manifest = replace(manifest, files=files)
    manifest.save(copied)
    return manifest


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the graph is compiled")


def test_a_graph_that_is_kept_compiled_is_not_compiled_again(
    copied: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = OpenVinoGraph.of(copied / "start.xml", manifest)
    assert graph.compiled_name in manifest.files
    without = replace(manifest, files={n: s for n, s in manifest.files.items() if n != graph.compiled_name})
    expected = open_session(copied, "start", without, "openvino").run([FEATURES])
    monkeypatch.setattr(OpenVinoGraph, "compile", never)
    session = open_session(copied, "start", manifest, "openvino")
    for ours, theirs in zip(session.run([FEATURES]), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_holds_no_weights(copied: Path, manifest: Manifest) -> None:
    compiled = (copied / OpenVinoGraph.of(copied / "start.xml", manifest).compiled_name).read_bytes()
    weights = (copied / "start.bin").read_bytes()
    middle = len(weights) // 2
    assert weights[middle : middle + 64] not in compiled


def test_another_processor_compiles(
    copied: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_graphs, "_machine_key", lambda: "0" * 12)
    monkeypatch.setattr(OpenVinoGraph, "load_compiled", never)
    assert open_session(copied, "start", manifest, "openvino").outputs == manifest.context + manifest.memory


def test_the_name_tells_version_and_processor(
    copied: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = OpenVinoGraph.of(copied / "start.xml", manifest)
    names = {graph.compiled_name}
    for place, name, value in (
        (openvino, "__version__", "2000.1"),
        (openvino_graphs, "_instruction_sets", lambda: "flags: mmx"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value)
            openvino_graphs._machine_key.cache_clear()
            names.add(graph.compiled_name)
    openvino_graphs._machine_key.cache_clear()
    assert len(names) == 3


def test_what_openvino_does_not_take_is_compiled(copied: Path, manifest: Manifest) -> None:
    graph = OpenVinoGraph.of(copied / "start.xml", manifest)
    (copied / graph.compiled_name).write_bytes(b"of another OpenVINO")
    assert len(graph.load_compiled(copied / graph.compiled_name, 2).outputs) == 7


def test_a_damaged_one_is_refused(copied: Path, manifest: Manifest) -> None:
    name = OpenVinoGraph.of(copied / "start.xml", manifest).compiled_name
    (copied / name).write_bytes(b"damaged")
    with pytest.raises(
        CheckpointError, match=r"\.blob: damaged \(another checksum\); export the model again"
    ):
        open_session(copied, "start", manifest, "openvino")


def test_it_decides_no_results_and_is_replaced_by_another_export(copied: Path, manifest: Manifest) -> None:
    assert not any(".blob" in line for line in manifest.checksums())
    assert [line.split()[0] for line in manifest.checksums("start")] == [
        "start.bin",
        "start.onnx",
        "start.xml",
    ]
    check_target(copied)
