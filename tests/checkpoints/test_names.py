"""Names of models and ensembles, and names that no model has."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.api import load
from showtell.captioning.captioner import Captioner
from showtell.checkpoints.names import require_model, split_ensemble
from showtell.errors import CheckpointError, UnknownModelError


def test_commas_separate_members_unless_there_is_such_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert split_ensemble("everyday") == ["everyday"]
    assert split_ensemble("my, run") == ["my", " run"]
    (tmp_path / "my, run").mkdir()
    assert split_ensemble("my, run") == ["my, run"]


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
