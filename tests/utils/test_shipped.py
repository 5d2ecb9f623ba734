"""Where models are: paths go before the folders in models/."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.utils import shipped
from showtell.utils.shipped import DEFAULT_MODEL, MODELS, find_model


def test_the_default_model_is_shipped() -> None:
    assert find_model(DEFAULT_MODEL) == MODELS / DEFAULT_MODEL
    assert (MODELS / DEFAULT_MODEL / "model.safetensors").is_file()


def test_a_path_goes_before_a_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shipped, "MODELS", tmp_path / "models")
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert find_model("mine") == tmp_path / "models" / "mine"
    (tmp_path / "mine").write_text("")
    assert find_model("mine") == Path("mine")
    assert find_model("models/mine") == Path("models/mine")


@pytest.mark.parametrize("name", ["none", "x" * 5000])
def test_a_name_that_is_nowhere_is_no_model(name: str) -> None:
    assert find_model(name) is None
