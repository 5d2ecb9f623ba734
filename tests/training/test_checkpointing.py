"""Checkpoints that do not belong to a run are refused in one line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from showtell.errors import CheckpointError, ConfigError, ShowtellError
from showtell.training.checkpointing import AtomicCheckpointIO, check_checkpoint
from showtell.training.module import CaptionModule

MODULE = nn.Linear(3, 2)
WEIGHTS = MODULE.state_dict()


def check(checkpoint: dict[str, Any] | None, epochs: int = 5) -> None:
    module = cast(CaptionModule, MODULE)  # only its weights are looked at
    check_checkpoint(Path("runs/x/last.ckpt"), checkpoint, module, "training.epochs", epochs)


def test_its_own_checkpoint_passes_and_so_does_none() -> None:
    check(None)
    check({"state_dict": WEIGHTS, "epoch": 4})


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
        check({"state_dict": weights, "epoch": 0})
    assert str(error.value).startswith("runs/x/last.ckpt: ")
    assert reason in str(error.value)


@pytest.mark.parametrize(("epoch", "epochs"), [(1, 1), (7, 2)])
def test_fewer_epochs_than_there_have_been_are_refused(epoch: int, epochs: int) -> None:
    with pytest.raises(
        ConfigError, match=f"training.epochs {epochs}: this run has come to its epoch {epoch + 1}"
    ):
        check({"state_dict": WEIGHTS, "epoch": epoch}, epochs)


@pytest.mark.parametrize("content", [WEIGHTS, {"state_dict": WEIGHTS, "epoch": 3}, [1, 2], {"showtell": 1}])
def test_a_foreign_checkpoint_is_none_of_showtell(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last.ckpt: damaged, not a checkpoint of showtell"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text", b"\x80\x02}q\x00."])
def test_a_file_of_another_kind_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(ShowtellError, match=r"last.ckpt: damaged") as error:
        AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt")
    assert "\n" not in str(error.value)
