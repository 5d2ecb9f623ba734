"""The manifest of an exported model: written, read, and refused when it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.errors import CheckpointError
from showtell.runtime.exported import ExportedCaptioner
from showtell.runtime.manifest import Manifest, find_exported
from showtell.utils.shipped import DEFAULT_MODEL


@pytest.mark.parametrize("name", ["encoder.onnx", "start.onnx", "step.onnx"])
def test_a_damaged_graph_is_refused(name: str, copied: Path) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name}: damaged .*export"):
        ExportedCaptioner(copied)
    (copied / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{name}: No such file or directory; export the model again"):
        ExportedCaptioner(copied)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 1}', '{"version": 1, "transform": 3}'])
def test_a_damaged_manifest_is_refused(text: str, copied: Path) -> None:
    (copied / "showtell.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"showtell\.json: damaged"):
        Manifest.load(copied)


def test_another_version_is_refused(copied: Path) -> None:
    values = json.loads((copied / "showtell.json").read_text())
    (copied / "showtell.json").write_text(json.dumps(values | {"version": 99}))
    with pytest.raises(CheckpointError, match="version 99"):
        Manifest.load(copied)


def test_what_was_written_is_read(exported: Path, tiny_captioner: Captioner, tmp_path: Path) -> None:
    manifest = Manifest.load(exported)
    assert manifest.vocabulary == tiny_captioner.vocabulary
    assert manifest.transform == tiny_captioner.transform
    manifest.save(tmp_path)
    assert Manifest.load(tmp_path) == manifest
    assert find_exported(str(exported)) == exported
    assert find_exported(str(exported.parent)) is None
    assert find_exported(DEFAULT_MODEL) is None


def test_a_damaged_vocabulary_is_refused(copied: Path) -> None:
    path = copied / "showtell.json"
    values = json.loads(path.read_text())
    words = values["vocabulary"]
    path.write_text(json.dumps(values | {"vocabulary": [*words[:-2], words[-1], words[-2]]}))
    with pytest.raises(CheckpointError, match=r"showtell\.json: damaged \(vocabulary"):
        Manifest.load(copied)


def test_exports_without_a_fingerprint_of_the_vocabulary_are_read(copied: Path) -> None:
    expected = Manifest.load(copied)
    path = copied / "showtell.json"
    values = json.loads(path.read_text())
    del values["vocabulary_fingerprint"]
    path.write_text(json.dumps(values))
    assert Manifest.load(copied) == expected
