"""Checkpoints that do not belong to a run are refused in one line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from showtell.checkpoints.run_folder import CHECKPOINT
from showtell.data.vocabulary import build_vocab
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import CheckpointError, ConfigError, ShowtellError
from showtell.training.checkpointing import (
    FORMAT,
    Checkpoint,
    TrainingState,
    load_checkpoint,
)
from tests.training.conftest import FinishedRun
from tests.training.toy import train

MODULE = nn.Linear(3, 2)
WEIGHTS = MODULE.state_dict()
VOCABULARY = build_vocab(["a dog"], 1)


def check(weights: Any, epoch: int, batch: int = 0, epochs: int = 5) -> None:
    state = TrainingState("cross-entropy", epoch, batch)
    Checkpoint(Path("runs/x/last.ckpt"), state, weights, {}).check(MODULE, "training.epochs", epochs)


@pytest.mark.parametrize(("epoch", "batch"), [(0, 0), (4, 1), (5, 0)])
def test_its_own_checkpoint_passes(epoch: int, batch: int) -> None:
    check(WEIGHTS, epoch, batch)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (nn.Linear(3, 4).state_dict(), "another model (bias is of the shape (4,) instead of (2,))"),
        (nn.Linear(5, 2).state_dict(), "another model (weight is of the shape (2, 5) instead of (2, 3))"),
        ({"model.weight": torch.zeros(2)}, "another model (weights are missing, bias among them)"),
        ({**WEIGHTS, "more": torch.zeros(1)}, "another model (there are weights that it does not have, more"),
        ({"bias": [1, 2]}, "damaged, it has no weights"),
        (None, "damaged, it has no weights"),
    ],
)
def test_weights_of_another_model_are_refused(weights: Any, reason: str) -> None:
    with pytest.raises(CheckpointError) as error:
        check(weights, 0)
    assert str(error.value).startswith("runs/x/last.ckpt: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(("epoch", "batch", "epochs", "reached"), [(1, 1, 1, 2), (2, 0, 1, 2), (7, 9, 2, 8)])
def test_fewer_epochs_than_there_have_been_are_refused(
    epoch: int, batch: int, epochs: int, reached: int
) -> None:
    with pytest.raises(
        ConfigError, match=f"training.epochs {epochs}: this run has come to its epoch {reached}"
    ):
        check(WEIGHTS, epoch, batch, epochs)


@pytest.mark.parametrize(
    "content", [WEIGHTS, {"decoder": WEIGHTS, "epoch": 3}, [1, 2], {"format": "showtell training 1"}]
)
def test_a_foreign_checkpoint_is_none_of_showtell(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last.ckpt: damaged, not a checkpoint of showtell"):
        load_checkpoint(tmp_path / "last.ckpt", VOCABULARY)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", b"\x80\x02}q\x00."])
def test_a_file_of_another_kind_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(ShowtellError, match=r"last.ckpt: damaged") as error:
        load_checkpoint(tmp_path / "last.ckpt", VOCABULARY)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["decoder", "optimizer", "rows", "mean", "epoch", "stage"])
def test_a_part_that_is_missing_is_damage(missing: str, tmp_path: Path) -> None:
    parts = {"stage": "cross-entropy", "epoch": 0, "batch": 1, "mean": (1.0, 2.0), "rows": []}
    tensors = {"decoder": WEIGHTS, "optimizer": {}}
    content = {"format": FORMAT, "vocabulary": VOCABULARY.fingerprint, **tensors, **parts}
    torch.save(content, tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt", VOCABULARY).state.batch == 1
    del content[missing]
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last.ckpt: damaged \(KeyError"):
        load_checkpoint(tmp_path / "last.ckpt", VOCABULARY)


def test_nothing_to_resume(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train(tiny_encoder, tmp_path, resume=True)


def test_damaged_checkpoint_is_refused_and_kept(
    whole_run: FinishedRun, tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    damaged = (whole_run.folder / CHECKPOINT).read_bytes()[:-1000]
    (tmp_path / CHECKPOINT).write_bytes(damaged)
    with pytest.raises(CheckpointError, match="damaged"):
        train(tiny_encoder, tmp_path, resume=True)
    assert (tmp_path / CHECKPOINT).read_bytes() == damaged


def test_a_checkpoint_of_an_earlier_showtell_gets_one_line(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    torch.save({"pytorch-lightning_version": "2.6.6", "epoch": 1, "showtell": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match=r"written by an earlier showtell, .* --init ") as raised:
        train(tiny_encoder, tmp_path, resume=True)
    assert "\n" not in str(raised.value)
