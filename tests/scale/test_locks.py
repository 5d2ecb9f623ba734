"""Locks: one run of a job, or one of each part, at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from showtell.errors import ShowtellError, UsageError
from showtell.scale import locks
from showtell.scale.locks import exclusive_run, job_files_lock
from showtell.scale.parts import WHOLE, Part
from showtell.utils.storage import location


def test_a_folder_is_for_one_run(tmp_path: Path) -> None:
    with exclusive_run(tmp_path), pytest.raises(ShowtellError, match="another run"), exclusive_run(tmp_path):
        pass
    with FileLock(tmp_path / ".lock"), pytest.raises(ShowtellError), exclusive_run(tmp_path):
        pass
    with exclusive_run(tmp_path):
        pass


def test_a_part_excludes_itself_and_whole_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_SECONDS", 0.002)  # a part waits for 50 times as long
    with exclusive_run(tmp_path, Part(1, 2)), exclusive_run(tmp_path, Part(2, 2)):
        for part in (WHOLE, Part(1, 2)):
            with pytest.raises(ShowtellError, match="another run"), exclusive_run(tmp_path, part):
                pass
    with (
        exclusive_run(tmp_path),
        pytest.raises(ShowtellError, match="another run"),
        exclusive_run(tmp_path, Part(1, 2)),
    ):
        pass
    with exclusive_run(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: it cannot be written"), exclusive_run(tmp_path / "file"):
        pass


def test_files_are_changed_by_one_at_a_time(tmp_path: Path) -> None:
    """Threads that each read a number and write the next one lose none."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(20):
            with job_files_lock(tmp_path):
                counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(count) for _ in range(4)]:
            done.result()
    assert counter.read_text() == "80"


def test_an_object_store_has_no_locks() -> None:
    pytest.importorskip("upath", reason="the extra cloud is not installed")
    folder = location("memory://bucket/job")
    with exclusive_run(folder), exclusive_run(folder), job_files_lock(folder), job_files_lock(folder):
        assert not folder.exists()
