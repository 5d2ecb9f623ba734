"""FeatureStore with whole processes: killed at any moment, two at once. Slow: each has to import torch."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from showtell.features.store import FeatureStore
from tests.conftest import make_snippets, make_tiny_encoder
from tests.features.rows import assert_all_counted_right, assert_rows_right, full

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
PHOTOS = 600
EXTRACT = """
import sys, time
from pathlib import Path
from showtell.features import store as features
from tests.conftest import make_tiny_encoder

features.FLUSH_ROWS, features.FLUSH_SECONDS, pause = 8, 0, float(sys.argv[3])
store = features.FeatureStore(Path(sys.argv[1]), make_tiny_encoder())
wanted = [(path, "full") for path in sorted(Path(sys.argv[2]).iterdir())]
print("ready", flush=True)
sys.stdin.readline()
report = store.extract(wanted, progress=lambda rows: time.sleep(pause))
print(report.extracted, flush=True)
"""


def start(cache: Path, photos: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    """A process that is about to extract, and begins when it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", EXTRACT, str(cache), str(photos), str(pause)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_snippets(tmp_path_factory.mktemp("many"), PHOTOS)


def test_killed_at_any_moment(tmp_path: Path, many: list[Path]) -> None:
    moments = random.Random(0)
    cache, partial, rows = tmp_path / "0", 0, 0
    for kill in range(KILLS):
        process = start(cache, many[0].parent, 0.02)
        begin(process)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.communicate()
        store = FeatureStore(cache, make_tiny_encoder())
        assert len(store) >= rows, "rows of an earlier run were lost"
        missing = assert_all_counted_right(store, full(many))
        rows, partial = len(store), partial + (process.returncode == -signal.SIGKILL and bool(missing))
        if not missing:
            cache, rows = tmp_path / str(kill + 1), 0
    assert partial >= KILLS // 3, f"only {partial} kills fell into an extraction"
    store = FeatureStore(cache, make_tiny_encoder())
    assert store.extract(full(many)).extracted == PHOTOS - rows
    assert_rows_right(store, full(many))
    assert (store.folder / "rows.bin").stat().st_size == PHOTOS * store.row_bytes


def test_killed_while_another_waits(tmp_path: Path, many: list[Path]) -> None:
    """The system releases the lock of a killed process; the one that waited does the rest."""
    first, second = (start(tmp_path, many[0].parent, pause) for pause in (0.5, 0.0))
    begin(first)
    while not len(FeatureStore(tmp_path, make_tiny_encoder())):  # rows that the second does not do again
        assert first.poll() is None
        time.sleep(0.01)
    begin(second)
    time.sleep(0.3)
    first.kill()
    first.communicate()
    done = int(second.communicate(timeout=120)[0])
    assert 0 < done < PHOTOS
    store = FeatureStore(tmp_path, make_tiny_encoder())
    assert assert_all_counted_right(store, full(many)) == []
    assert (store.folder / "rows.bin").stat().st_size == PHOTOS * store.row_bytes


def test_two_processes_write_each_row_once(tmp_path: Path, many: list[Path]) -> None:
    processes = [start(tmp_path, many[0].parent) for _ in range(2)]
    for process in processes:
        begin(process)
    done = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert sum(done) == PHOTOS
    store = FeatureStore(tmp_path, make_tiny_encoder())
    assert assert_all_counted_right(store, full(many)) == []
    assert (store.folder / "rows.bin").stat().st_size == PHOTOS * store.row_bytes


def test_photos_replaced_between_kills(tmp_path: Path, many: list[Path]) -> None:
    """The names stay, the photos change: no row is of a photo that was there before."""
    photos = make_snippets(tmp_path / "photos", 60)
    for round_number in range(3):
        process = start(tmp_path / "cache", tmp_path / "photos", 0.05)
        begin(process)
        time.sleep(0.15)
        process.kill()
        process.communicate()
        store = FeatureStore(tmp_path / "cache", make_tiny_encoder())
        done = [item for item in full(photos) if item not in store.missing(full(photos))]
        assert_rows_right(store, done)
        for i in range(0, 60, 3):
            shutil.copy(many[100 + 60 * round_number + i], photos[i])
    store.extract(full(photos))
    assert_rows_right(store, full(photos))
