"""The training loop: stopping early, on demand, and what it does between steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from showtell.config import TrainingConfig
from showtell.data.records import CaptionedImage
from showtell.decoder import make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.training import loop
from showtell.training.checkpointing import InterruptedTrainingError, TrainingState
from showtell.training.loop import adamw, out_of_patience
from tests.conftest import tiny_decoder_config
from tests.training.conftest import FinishedRun
from tests.training.toy import CONFIG, Features, losses, train


@pytest.mark.parametrize(("seconds", "calls"), [(1000.0, 0), (0.0, 4)])
def test_free_memory_is_returned_between_steps(
    tiny_encoder: CNNEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, calls: int
) -> None:
    made = []
    monkeypatch.setattr(loop, "malloc_trim", lambda: made.append(True))
    monkeypatch.setattr(loop, "TRIM_EVERY_SECONDS", seconds)
    train(tiny_encoder, tmp_path, config=replace(CONFIG, epochs=1), calibrate=False)
    assert len(made) == calls


@pytest.mark.usefixtures("on_cpu")
def test_asked_to_stop_it_saves_and_goes_on_later(
    whole_run: FinishedRun, tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    class Stopping(Features):
        def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
            if self.calls == 50:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(image, draw)

    before = signal.getsignal(signal.SIGINT)  # ignored in jobs that a shell runs in the background
    with pytest.raises(InterruptedTrainingError, match="--resume"):
        train(tiny_encoder, tmp_path, source=Stopping)
    assert signal.getsignal(signal.SIGINT) is before
    assert losses(train(tiny_encoder, tmp_path, resume=True)) == losses(whole_run.result)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("on_cpu")
def test_signals_to_all_processes_leave_the_workers_until_the_end(
    whole_run: FinishedRun, tiny_encoder: CNNEncoder, tmp_path: Path, number: signal.Signals
) -> None:
    class Stopping(Features):
        def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
            if self.calls == 20:  # Ctrl-C, or the end of a job of SLURM
                os.kill(os.getppid(), number)
                os.kill(os.getpid(), number)
            return super().__call__(image, draw)

    config = replace(CONFIG, num_workers=1)
    with pytest.raises(InterruptedTrainingError, match="--resume"):
        train(tiny_encoder, tmp_path, source=Stopping, config=config)
    assert losses(train(tiny_encoder, tmp_path, resume=True, config=config)) == losses(whole_run.result)


ROOT = Path(__file__).resolve().parents[2]
ENDS = """
from pathlib import Path
import sys
from dataclasses import replace
from tests.conftest import make_tiny_encoder
from tests.training.toy import CONFIG, train

def fail(row):
    raise ValueError("on purpose")

train(make_tiny_encoder(), Path(sys.argv[1]), config=replace(CONFIG, num_workers=1), on_epoch=fail)
"""


def test_a_program_that_fails_ends_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ends them by SIGTERM, and waits for them."""
    code = ENDS.replace("import sys", "import sys, showtell.data.dataset as d; d._SECONDS_AFTER_SIGTERM = 1")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert "ValueError: on purpose" in done.stderr


def test_early_stopping(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    hopeless = TrainingConfig(epochs=30, batch_size=8, learning_rate=0.4, patience=1, precision="fp32")
    stopped = train(tiny_encoder, tmp_path, config=hopeless)
    assert len(stopped.epochs) < 30
    assert not stopped.epochs[-1]["saved"]
    assert train(tiny_encoder, tmp_path, config=hopeless, resume=True).epochs == stopped.epochs


@pytest.mark.parametrize(
    ("saved", "patience", "out"),
    [
        ([1, 0, 0], 2, True),
        ([1, 0, 0], 3, False),
        ([1, 0, 1, 0], 2, False),
        ([0], 2, False),
        ([1, 0, 0, 0, 0], 0, False),
        ([], 1, False),
    ],
)
def test_patience_counts_epochs_since_a_model_was_saved(saved: list[int], patience: int, out: bool) -> None:
    state = TrainingState("cross-entropy", rows=[{"saved": float(value)} for value in saved])
    assert out_of_patience(state, TrainingConfig(patience=patience)) == out


def test_only_matrices_decay() -> None:
    torch.manual_seed(0)
    decoder = make_decoder(tiny_decoder_config(8), vocab_size=9, feature_dim=6, grid_cells=4)
    before = {name: weight.detach().clone() for name, weight in decoder.named_parameters()}
    optimizer = adamw(decoder, 0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    for weight in decoder.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in decoder.named_parameters():
        factor = 1 - 0.5 * 0.1 if weight.dim() > 1 else 1.0
        torch.testing.assert_close(weight.detach(), factor * before[name], msg=name)
