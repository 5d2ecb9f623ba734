"""Names that stand for no model."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.api import load
from showtell.captioning.captioner import Captioner
from showtell.captioning.names import UnknownModelError, require_model
from showtell.errors import CheckpointError


@pytest.mark.parametrize("name", ["evryday", "everyday,evryday", "runs/nowhere", "nowhere/model.safetensors"])
def test_a_wrong_name_is_misuse_and_still_an_error_of_a_checkpoint(name: str) -> None:
    for function in (require_model, load, lambda name: Captioner.load_ensemble(name.split(","))):
        with pytest.raises(UnknownModelError, match="no such model; ") as raised:
            function(name)  # type: ignore[operator]
        assert isinstance(raised.value, CheckpointError)
        assert raised.value.exit_code == 2


@pytest.mark.parametrize("name", ["everyday", "everyday,everyday", "someone/captioner"])
def test_names_that_may_be_models(name: str) -> None:
    require_model(name)


def test_a_file_without_a_model_is_no_wrong_name(tmp_path: Path) -> None:
    require_model(str(tmp_path))
    with pytest.raises(CheckpointError, match=r"no model\.safetensors in this folder") as raised:
        Captioner.load(tmp_path)
    assert raised.value.exit_code == 1
