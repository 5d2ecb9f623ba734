"""Sessions: the runtime that is picked, its threads, and graphs that it cannot run."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from showtell.errors import CheckpointError, UsageError
from showtell.runtime import sessions
from showtell.runtime.manifest import Manifest


def test_the_runtime_is_picked(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest.load(exported)
    low = Manifest(**{**vars(manifest), "precision": "bf16"})
    assert sessions.pick_runtime("auto", manifest) == "openvino"
    assert sessions.pick_runtime("onnx", manifest) == "onnx"
    assert sessions.pick_runtime("auto", low) == "openvino"
    with pytest.raises(UsageError, match="does not compute in bf16"):
        sessions.pick_runtime("onnx", low)
    monkeypatch.setattr(sessions, "find_spec", lambda name: None if name == "openvino" else name)
    assert sessions.pick_runtime("auto", manifest) == "onnx"
    with pytest.raises(UsageError, match="pip install openvino"):
        sessions.pick_runtime("auto", low)
    monkeypatch.setattr(sessions, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs openvino or onnxruntime"):
        sessions.pick_runtime("auto", manifest)


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("0", None), ("many", None), ("", None)])
def test_threads(value: str, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(7)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert sessions.threads() == (expected or 7)


def test_both_runtimes_compute_the_same(exported: Path) -> None:
    manifest = Manifest.load(exported)
    onnx, openvino = (
        sessions.open_session(exported, "start", manifest, runtime) for runtime in ("onnx", "openvino")
    )
    features = np.random.default_rng(0).normal(size=(3, 4, 128)).astype(np.float32)
    expected = onnx.run([features])
    assert onnx.inputs == openvino.inputs == [(None, 4, 128)]
    assert onnx.outputs == openvino.outputs
    assert len(onnx.outputs) == len(expected)
    assert len(expected) == manifest.context + manifest.recurrent_tensors
    for one, other in zip(expected, openvino.run([features]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_graph_that_cannot_be_run_is_named(runtime: sessions.GraphRuntime, copied: Path) -> None:
    content = b"no graph"
    (copied / "start.onnx").write_bytes(content)
    manifest = Manifest.load(copied)
    files = {**manifest.files, "start.onnx": hashlib.sha256(content).hexdigest()}
    with pytest.raises(CheckpointError, match=r"start\.onnx: ") as raised:
        sessions.open_session(copied, "start", replace(manifest, files=files), runtime)
    assert "\n" not in str(raised.value)


def test_a_runtime_that_cannot_be_loaded_is_named(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="onnxruntime is installed but cannot be loaded"):
        sessions.open_session(exported, "start", Manifest.load(exported), "onnx")
