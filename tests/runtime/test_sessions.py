"""Sessions: the runtime that is picked, its threads, and graphs that it cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.errors import UsageError
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
