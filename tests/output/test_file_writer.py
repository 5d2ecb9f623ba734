"""Files that get their name when they are complete."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from showtell.errors import ShowtellError, UsageError
from showtell.output import WRITERS, Record, make_writer
from showtell.output.file_writer import uninterrupted
from tests.output.records import CAPTION, write


@pytest.mark.parametrize("suffix", [*WRITERS, ".HTML"])
def test_a_file_gets_its_name_when_it_is_complete(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "made" / f"out{suffix}"
    with make_writer(path) as writer:
        writer.add(Record("a.jpg", (CAPTION,)))
        assert not path.exists()
        (partial,) = path.parent.iterdir()
        assert "a dog runs" in partial.read_text(), "records are on the disk as they come"
    assert "a dog runs" in path.read_text()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("suffix", WRITERS)
def test_ctrl_c_keeps_what_is_done(tmp_path: Path, suffix: str) -> None:
    complete = write(tmp_path / f"out{suffix}", [Record("a.jpg", (CAPTION,))])

    def stopped() -> None:
        with make_writer(tmp_path / f"out{suffix}") as writer:
            writer.add(Record("a.jpg", (CAPTION,)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (tmp_path / f"out{suffix}").read_bytes() == complete
    assert len(list(tmp_path.iterdir())) == 1


def test_ctrl_c_before_anything_is_done_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), make_writer(path):
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_the_part_that_was_done(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")

    def failed() -> None:
        with make_writer(path) as writer:
            writer.add(Record("a.jpg", (CAPTION,)))
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the one raised above
        failed()
    assert path.read_text() == "old"
    (partial,) = tmp_path.glob("*.partial")
    assert json.loads(partial.read_text())["caption"] == "a dog runs"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_reported_with_the_file_s_name(tmp_path: Path) -> None:
    def fill() -> None:
        with make_writer(tmp_path / "out.jsonl") as writer:
            writer._file.close()
            writer._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "w")
            writer.add(Record("a.jpg", (CAPTION,)))

    with pytest.raises(ShowtellError, match=r"out\.jsonl: cannot be written \(No space left on device\)"):
        fill()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["captions.txt", "captions", "captions.jsonl.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"captions are written to \.jsonl, \.csv or \.html files"):
        make_writer(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(UsageError, match=r"out\.csv: this is a folder"):
        make_writer(tmp_path / "out.csv")


def test_a_place_that_cannot_be_written_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"out\.csv: cannot be written"),
        make_writer(tmp_path / "file/out.csv"),
    ):
        pass


def test_ctrl_c_waits_for_the_end_of_a_record() -> None:
    steps = []

    def interrupted() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("went on")
        steps.append("not reached")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert steps == ["went on"]
    assert signal.getsignal(signal.SIGINT) is before
