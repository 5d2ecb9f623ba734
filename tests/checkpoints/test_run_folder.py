"""The folder of a run: one training at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from showtell.checkpoints.run_folder import CHECKPOINT, find_run, last_run, run_folder
from showtell.errors import CheckpointError, ShowtellError, UsageError
from showtell.utils.runs import CONFIG

HOLD = """
import sys, time
from pathlib import Path
from showtell.checkpoints.run_folder import run_folder
with run_folder(Path(sys.argv[1]), resume=False) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def names(*folders: Path) -> list[str]:
    return [folder.name for folder in folders]


def test_two_at_once_get_two_folders(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run", resume=False) as first:
        with run_folder(tmp_path / "run", resume=False) as second:
            assert names(first, second) == ["run", "run-2"]
        with run_folder(tmp_path / "run", resume=False) as third:
            assert names(third) == ["run-2"], "nothing was written there"


def test_a_run_that_ended_keeps_its_folder(tmp_path: Path) -> None:
    for expected in ("run", "run-2", "run-3"):
        with run_folder(tmp_path / "run", resume=False) as folder:
            assert folder.name == expected
            (folder / CONFIG).write_text("")


def test_a_run_that_failed_before_its_settings_were_written_leaves_its_folder_free(tmp_path: Path) -> None:
    def fail() -> None:
        with run_folder(tmp_path / "run", resume=False):
            raise ValueError("bad data")

    with pytest.raises(ValueError, match="bad data"):
        fail()
    with run_folder(tmp_path / "run", resume=False) as folder:
        assert folder.name == "run"


def make_run(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("")
    return folder


def test_a_run_is_resumed_by_one_at_a_time(tmp_path: Path) -> None:
    make_run(tmp_path / "run", CONFIG, CHECKPOINT)
    with run_folder(tmp_path / "run", resume=True) as folder:
        assert folder.name == "run"
        again = run_folder(tmp_path / "run", resume=True)
        with pytest.raises(ShowtellError, match=r"run: another process is training there"):
            again.__enter__()
    with run_folder(tmp_path / "run", resume=True) as folder:
        assert folder.name == "run"


def test_the_last_of_several_runs(tmp_path: Path) -> None:
    for name in ("run", "run-2", "run-4"):
        make_run(tmp_path / name, CONFIG)
    assert last_run(tmp_path / "run").name == "run-2", "run-4 is not of this row"
    with pytest.raises(CheckpointError, match=r"none: no run to resume there"):
        last_run(tmp_path / "none")


@pytest.mark.parametrize("name", ["runs/mine", "runs/mine/", "./runs/mine", "runs/mine/last.ckpt"])
def test_a_run_is_found_by_its_folder_or_a_file_in_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs/mine", CONFIG, CHECKPOINT)
    make_run(tmp_path / "runs/mine-2", CONFIG)
    assert find_run(name) == Path("runs/mine")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", "mine: no run to resume (no such folder); did you mean runs/mine?"),
        ("runs/mien", "runs/mien: no run to resume (no such folder); did you mean runs/mine?"),
        ("runs", "runs: no run to resume (no config.yaml in it)"),
        ("other/model.ckpt", "other/model.ckpt: no run to resume (no config.yaml in it)"),
        ("last", "last: no run with a checkpoint in runs/ here; name the run's folder"),
    ],
)
def test_what_is_no_run_is_named_with_the_nearest(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs/mine", CONFIG)
    make_run(tmp_path / "other", "model.ckpt")
    with pytest.raises(CheckpointError) as error:
        find_run(name)
    assert str(error.value) == message


def test_what_cannot_be_resumed_or_written(tmp_path: Path) -> None:
    make_run(tmp_path / "run", CONFIG)
    with pytest.raises(CheckpointError, match=r"run: stopped before its first checkpoint"):
        run_folder(tmp_path / "run", resume=True).__enter__()
    with pytest.raises(UsageError, match=r"x: cannot be written"):
        run_folder(tmp_path / "run" / CONFIG / "x", resume=False).__enter__()


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip().endswith("run")
        with run_folder(tmp_path / "run", resume=False) as folder:
            assert folder.name == "run-2"
        other.send_signal(signal.SIGKILL)
        other.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with run_folder(tmp_path / "run", resume=False) as folder:
            if folder.name == "run":
                break
    assert folder.name == "run"


def test_the_last_run_is_resumed_also_where_it_has_no_model_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = make_run(tmp_path / "runs/done", CONFIG, CHECKPOINT, "model.safetensors")
    for file in done.iterdir():
        os.utime(file, (1, 1))
    make_run(tmp_path / "runs/stopped", CONFIG, CHECKPOINT)
    make_run(tmp_path / "runs/failed", CONFIG)
    assert find_run("last") == Path("runs/stopped")
