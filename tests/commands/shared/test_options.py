"""The option --device: how the choice reaches what computes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from showtell.cli import main
from showtell.commands.shared.options import computing_on
from showtell.config import DEVICE_VARIABLE

COMMANDS = [
    ["caption", "photo.jpg"],
    ["train"],
    ["evaluate"],
    ["report"],
    ["serve"],
    ["alt", "page.html"],
    ["preprocess"],
    ["tune"],
    ["scale", "caption", "--out", "x", "photos"],
    ["scale", "extract", "--out", "x", "photos"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_that_computes_has_it(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--device", "gpu"]) == 2
    message = capsys.readouterr().err
    assert message == "error: --device gpu: choose auto, cpu, cuda, cuda:1 (the second GPU) or mps\n"


@pytest.mark.parametrize("before", [None, "cuda"])
def test_the_choice_holds_for_the_block(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(DEVICE_VARIABLE, before)
    with computing_on("cpu"):
        assert os.environ[DEVICE_VARIABLE] == "cpu"
    with computing_on("auto"):
        assert os.environ.get(DEVICE_VARIABLE) == before
    assert os.environ.get(DEVICE_VARIABLE) == before


def test_a_device_that_this_machine_lacks(
    tiny_model: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["caption", "--model", str(tiny_model), "--device", "cuda:1", str(photos[0])]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: device 'cuda:1': this machine has ")
    assert message.count("\n") == 1


def test_exported_models_have_none(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["caption", "--model", str(exported), "--device", "cuda"]) == 2
    assert "exported models run on the CPU" in capsys.readouterr().err


def test_one_gpu_of_several_for_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["caption", "--out", str(tmp_path / "x"), "--workers", "2", "--device", "cuda:1", "photos"]
    assert main(["scale", *arguments]) == 2
    assert "CUDA_VISIBLE_DEVICES=1" in capsys.readouterr().err
