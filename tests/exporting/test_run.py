"""Exporting a model: the settings that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.cli import main
from showtell.errors import ModelError
from showtell.exporting.hub_folder import write_hub_folder
from tests.commands.test_caption import save_model


@pytest.mark.parametrize("language", ["German", "d", "de_DE", "de\n"])
def test_another_name_of_a_language_is_refused(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--to-hub-folder", str(tmp_path / "hub"), "--language", language]
    assert main(["export", *settings]) == 2
    assert "give a code of ISO 639, such as en, de or zh" in capsys.readouterr().err


def test_an_ensemble_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(save_model(tmp_path / f"{seed}", seed=seed)) for seed in range(2)]
    captioner = Captioner.load_ensemble(names, device=torch.device("cpu"))
    with pytest.raises(ModelError, match="ensemble"):
        write_hub_folder(captioner, tmp_path, "both", tmp_path / "hub")
    assert main(["export", "--model", ",".join(names), "--to-hub-folder", str(tmp_path / "hub")]) == 2
    assert "one model, not an ensemble" in capsys.readouterr().err
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    "option", [["--out", "x"], ["--precision", "int8"], ["--photos", "x.jpg"], ["--precision", "bf16"]]
)
def test_options_of_graphs_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--to-hub-folder", "x", *option]) == 2
    assert f"{option[0].removeprefix('--')} is for graphs" in capsys.readouterr().err
