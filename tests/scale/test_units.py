"""Work units: written, read back, refused when they are damaged; their images opened."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.errors import DataError, ImageError
from showtell.scale.units import (
    FileUnit,
    ParquetUnit,
    SourceImage,
    TarUnit,
    Unit,
    unit_from_json,
    unit_to_json,
)
from tests.scale.jobs import Recorder, begin
from tests.scale.sources import contents, list_all, make_parquet, make_tar
from tests.scale.test_job import job_of


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "3",
        '{"kind": "files", "files": 3}',
        '{"kind": "files", "files": [3]}',
        '{"kind": "tar", "file": "a", "members": [["b", "c", 3]]}',
        '{"kind": "tar", "file": "a", "members": [["b", -1, 3]]}',
        '{"kind": "odd"}',
        '{"kind": "parquet", "file": "a", "group": 0, "start": 0, "stop": 1e9, "first": 0, "column": "c",'
        ' "id_column": null}',
        '{"kind": "parquet", "file": "a", "group": 0, "start": 0, "stop": 999999999999, "first": 0,'
        ' "column": "c", "id_column": null}',
    ],
)
def test_work_units_of_anything(line: str, task: Recorder, snippets: list[Path], tmp_path: Path) -> None:
    job_of(tmp_path, task, snippets)
    (tmp_path / "units.jsonl").write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"units\.jsonl: damaged"):
        begin(tmp_path, task, *snippets[:4], size=2)


def test_what_is_no_image_in_a_row_fails_alone(tmp_path: Path) -> None:
    values = [{"bytes": b"abc", "path": None}, None, {"bytes": None, "path": None}]
    file = make_parquet(tmp_path / "t.parquet", {"image": values})
    assert [content for _, content in contents(list_all(file))] == [b"abc", b"", b""]


def test_images_that_are_lost_after_the_listing_fail(tmp_path: Path) -> None:
    tar = make_tar(tmp_path / "a.tar", [("a.jpg", b"a")])
    parquet = make_parquet(tmp_path / "b.parquet", {"bytes": [b"1", b"2", b"3"]})
    units = list_all(tar, parquet, size=2)
    tar.unlink()
    parquet.write_bytes(parquet.read_bytes()[:20])
    images = [image for unit in units for image in unit.images()]
    assert [image.id for image in images] == [f"{tar}/a.jpg", *(f"{parquet}/{i}" for i in range(3))]
    for image in images:
        with pytest.raises(ImageError, match="cannot be read"):
            image.open()


def test_tar_files_of_other_programs(tmp_path: Path) -> None:
    """Long names in both of the ways there are."""
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        file, name = tmp_path / f"{number}.tar", "x" * 150 + "/é.jpg"
        with tarfile.open(file, "w", format=form) as tar:
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
        assert contents(list_all(file)) == [(f"{file}/{name}", b"abc")]


def test_of_a_large_row_group_little_is_in_memory(tmp_path: Path) -> None:
    rows = [
        bytes([number % 251]) * 100_000 for number in range(400)
    ]  # 40 MB in one group, in pages of 1.6 MB
    table = pa.table({"image": rows})
    file = tmp_path / "t.parquet"
    pq.write_table(table, file, compression="none", use_dictionary=False, write_batch_size=16)
    del table
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        for number, image in enumerate(list_all(file, size=400)[0].images()):
            assert image.open() == rows[number]
    finally:
        pa.set_memory_pool(before)
    assert number == 399
    assert 0 < pool.max_memory() < 16 * 2**20


NAMES = st.text(min_size=1, max_size=8)
COUNTS = st.integers(0, 10**6)


@settings(max_examples=40)
@given(
    st.builds(FileUnit, st.lists(NAMES, max_size=4))
    | st.builds(TarUnit, NAMES, st.lists(st.tuples(NAMES, COUNTS, COUNTS).map(list), max_size=4))
    | st.builds(ParquetUnit, NAMES, COUNTS, COUNTS, COUNTS, COUNTS, NAMES, st.none() | NAMES)
)
def test_a_unit_is_a_line_that_reads_back(unit: Unit) -> None:
    line = unit_to_json(unit)
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert unit_from_json(line) == unit


def test_images_have_ids_of_their_own() -> None:
    assert FileUnit(["a.jpg", "b.jpg"]).ids() == ["a.jpg", "b.jpg"]
    assert TarUnit("t.tar", [("a.jpg", 512, 3)]).ids() == ["t.tar/a.jpg"]
    assert ParquetUnit("p", 2, 5, 7, 100, "image", None).ids() == ["p/105", "p/106"]
    assert ParquetUnit("p", 2, 5, 7, 100, "image", "name").ids() is None


def test_an_image_within_a_file_is_read_at_its_place(tmp_path: Path) -> None:
    file = tmp_path / "t.tar"
    file.write_bytes(b"0123456789")
    (image,) = TarUnit(str(file), [("a.jpg", 2, 3)]).images()
    assert image.open() == b"234"
    assert SourceImage("a", "none", content=b"x").open() == b"x"
    assert SourceImage("a", "name of a file").open() == "name of a file"
    for broken in (SourceImage("a", str(file), error="why"), SourceImage("a", str(tmp_path / "no"), (0, 1))):
        with pytest.raises(ImageError, match=r"^a: (why|it cannot be read)"):
            broken.open()
