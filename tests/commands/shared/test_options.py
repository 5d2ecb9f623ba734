"""Options of several commands: the device, the newest run, confidence, and errors that name the option."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import torch
from jsonargparse import Namespace

from showtell.captioning.captioner import Captioner
from showtell.cli import main
from showtell.commands.shared.options import (
    check_min_confidence,
    computing_on,
    name_last,
    naming_options,
    require_confidence,
)
from showtell.config import DEVICE_VARIABLE, SearchConfig
from showtell.errors import CheckpointError, ConfigError, UsageError

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


def test_errors_name_options_instead_of_settings() -> None:
    with (
        pytest.raises(UsageError, match=r"^--beam-size must be at least 1") as caught,
        naming_options("search"),
    ):
        SearchConfig(beam_size=0)
    assert "search." not in str(caught.value)
    with pytest.raises(UsageError, match=r"^search.top_p and --host$"), naming_options("serving"):
        raise ConfigError("search.top_p and serving.host")


def test_last_is_the_run_whose_model_was_saved_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    args = Namespace(model="last,everyday", against="last", init="everyday")
    with pytest.raises(CheckpointError, match="no run with a model in runs/") as raised:
        name_last(args)
    assert raised.value.exit_code == 2
    for number, name in enumerate(("old", "new")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (model := tmp_path / "runs" / name / "model.safetensors").touch()
        os.utime(model, (1000 + number, 1000 + number))
    caplog.set_level(logging.INFO, "showtell")
    name_last(args)
    assert (args.model, args.against, args.init) == ("runs/new,everyday", "runs/new", "everyday")
    assert caplog.messages == ["--model last,everyday: runs/new,everyday", "--against last: runs/new"]


@pytest.mark.parametrize(
    ("value", "fits"), [(None, True), (0.0, True), (1.0, True), (1.01, False), (-0.1, False)]
)
def test_a_confidence_is_a_probability(value: float | None, fits: bool) -> None:
    if fits:
        check_min_confidence(value)
    else:
        with pytest.raises(UsageError, match="--min-confidence is a probability"):
            check_min_confidence(value)


def test_a_threshold_needs_a_calibrated_model(tiny_captioner: Captioner) -> None:
    require_confidence(tiny_captioner, None)
    require_confidence(tiny_captioner, 0.0)
    with pytest.raises(UsageError, match="confidence is not calibrated"):
        require_confidence(tiny_captioner, 0.5)
