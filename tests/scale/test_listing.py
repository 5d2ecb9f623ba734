"""Sources become work units: every image in one of them, in order, and it can be opened."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from showtell.errors import DataError, ImageError, UsageError
from showtell.scale.listing import Columns, list_units
from showtell.scale.units import FileUnit, ParquetUnit, TarUnit, Unit, unit_from_json, unit_to_json
from tests.scale.sources import make_parquet, make_tar, make_webdataset

NAMES = st.lists(st.from_regex(r"[a-z]{1,3}\.(jpg|png|odd)", fullmatch=True), min_size=1, max_size=40)


def units(*sources: Path | str, size: int = 10, columns: Columns | None = None) -> list[Unit]:
    return list(list_units([str(source) for source in sources], size, columns))


def contents(found: Iterable[Unit]) -> list[tuple[str, bytes]]:
    """Id and bytes of each image."""
    opened = [(image.id, image.open()) for unit in found for image in unit.images()]
    return [(name, Path(it).read_bytes() if isinstance(it, str) else it) for name, it in opened]


@given(NAMES, st.integers(1, 50))
def test_every_file_is_in_one_unit(names: list[str], size: int) -> None:
    found = units(*names, size=size)
    assert [image.id for unit in found for image in unit.images()] == list(dict.fromkeys(names))
    assert [len(unit) for unit in found[:-1]] == [size] * (len(found) - 1)
    assert 1 <= len(found[-1]) <= size
    assert [unit_from_json(unit_to_json(unit)) for unit in found] == found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(rows=st.integers(1, 200), group=st.integers(1, 210), size=st.integers(1, 210))
def test_every_row_is_in_one_unit(tmp_path: Path, rows: int, group: int, size: int) -> None:
    file = make_parquet(tmp_path / "t.parquet", {"bytes": [b"%d" % i for i in range(rows)]}, group)
    found = units(file, size=size)
    assert all(len(list(unit.images())) == len(unit) <= size for unit in found)
    assert contents(found) == [(f"{file}/{i}", b"%d" % i) for i in range(rows)]
    assert [unit_from_json(unit_to_json(unit)) for unit in found] == found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.dictionaries(st.from_regex(r"[a-zé]{1,120}\.(jpg|WEBP)", fullmatch=True), st.binary(max_size=2000)))
def test_every_member_is_in_one_unit(tmp_path: Path, members: dict[str, bytes]) -> None:
    file = make_tar(tmp_path / "t.tar", members.items())
    found = units(file, size=3)
    assert contents(found) == [(f"{file}/{name}", content) for name, content in members.items()]
    assert [contents([unit_from_json(unit_to_json(unit))]) for unit in found] == [
        contents([unit]) for unit in found
    ]


def test_a_folder_holds_images_and_files_of_images(snippets: list[Path], tmp_path: Path) -> None:
    for path in snippets[:3]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "shards").mkdir()
    make_webdataset(tmp_path / "shards" / "0.tar", snippets[3:6])
    make_parquet(tmp_path / "shards" / "1.parquet", {"jpg": [p.read_bytes() for p in snippets[6:9]]})
    (tmp_path / "notes.txt").write_text("no photo")
    found = units(tmp_path)
    assert [type(unit) for unit in found] == [FileUnit, TarUnit, ParquetUnit]
    assert [content for _, content in contents(found)] == [path.read_bytes() for path in snippets[:9]]
    twice = units(tmp_path, tmp_path / "shards", tmp_path / "0000.jpg")
    assert contents(twice) == contents(found)


def test_of_members_of_one_name_the_last(tmp_path: Path) -> None:
    file = make_tar(tmp_path / "t.tar", [("a.jpg", b"old"), ("b.jpg", b"b"), ("a.jpg", b"new")])
    assert dict(contents(units(file))) == {f"{file}/a.jpg": b"new", f"{file}/b.jpg": b"b"}


@pytest.mark.parametrize("column", ["image", "bytes", "webp", "path"])
def test_usual_columns(column: str, snippets: list[Path], tmp_path: Path) -> None:
    photos = snippets[:3]
    values = {
        "image": [{"bytes": photo.read_bytes(), "path": "elsewhere.jpg"} for photo in photos],
        "bytes": [photo.read_bytes() for photo in photos],
        "webp": [photo.read_bytes() for photo in photos],
        "path": [str(photo) for photo in photos],
    }[column]
    file = make_parquet(tmp_path / "t.parquet", {"caption": ["a"] * 3, column: values})
    found = contents(units(file))
    assert [content for _, content in found] == [photo.read_bytes() for photo in photos]
    names = values if column == "path" else range(3)
    assert [name for name, _ in found] == [f"{file}/{name}" for name in names]


def test_named_columns_and_relative_paths(snippets: list[Path], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(snippets[0].read_bytes())
    table = {"id": [4, 5], "photo": ["a.jpg", "a.jpg"], "name": ["x", None], "image": [b"", b""]}
    file = make_parquet(tmp_path / "t.parquet", table)
    found = contents(units(file, columns=Columns("photo", "name")))
    assert found == [(f"{file}/{name}", snippets[0].read_bytes()) for name in ("x", 1)]
    assert [name for name, _ in contents(units(file))] == [f"{file}/4", f"{file}/5"]
    with pytest.raises(UsageError, match=r"--column nope: .*id, photo, name, image"):
        units(file, columns=Columns("nope"))
    with pytest.raises(UsageError, match="--id-column nope"):
        units(file, columns=Columns(None, "nope"))
    with pytest.raises(UsageError, match="--column"):
        units(make_parquet(tmp_path / "u.parquet", {"text": ["a"]}))


def test_what_is_no_image_in_a_row_fails_alone(tmp_path: Path) -> None:
    values = [{"bytes": b"abc", "path": None}, None, {"bytes": None, "path": None}]
    file = make_parquet(tmp_path / "t.parquet", {"image": values})
    assert [content for _, content in contents(units(file))] == [b"abc", b"", b""]


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_damaged_and_missing_files_are_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{kind}").write_bytes(b"nothing of the sort" * 100)
    for name in ("a", "missing"):
        with pytest.raises(DataError, match=rf"{name}\.{kind}: it cannot be read"):
            units(tmp_path / f"{name}.{kind}")


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'showtell\[scale\]'"):
        units(tmp_path / "a.parquet")


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    file = make_tar(tmp_path / "a.tar", [("a.jpg", b"a")], "w:gz")
    with pytest.raises(DataError, match="unpack it if it is compressed"):
        units(file)


def test_images_that_are_lost_after_the_listing_fail(tmp_path: Path) -> None:
    tar = make_tar(tmp_path / "a.tar", [("a.jpg", b"a")])
    parquet = make_parquet(tmp_path / "b.parquet", {"bytes": [b"1", b"2", b"3"]})
    found = units(tar, parquet, size=2)
    tar.unlink()
    parquet.write_bytes(parquet.read_bytes()[:20])
    images = [image for unit in found for image in unit.images()]
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
        assert contents(units(file)) == [(f"{file}/{name}", b"abc")]


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
        for number, image in enumerate(units(file, size=400)[0].images()):
            assert image.open() == rows[number]
    finally:
        pa.set_memory_pool(before)
    assert number == 399
    assert 0 < pool.max_memory() < 16 * 2**20
