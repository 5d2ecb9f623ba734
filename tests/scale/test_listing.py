"""Sources become work units: every image in one of them, in order, and it can be opened."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from showtell.errors import DataError, UsageError
from showtell.scale.listing import Columns
from showtell.scale.units import FileUnit, ParquetUnit, TarUnit, unit_from_json, unit_to_json
from tests.scale.sources import contents, list_all, make_parquet, make_tar, make_webdataset

NAMES = st.lists(st.from_regex(r"[a-z]{1,3}\.(jpg|png|odd)", fullmatch=True), min_size=1, max_size=40)


@settings(max_examples=40)
@given(NAMES, st.integers(1, 50))
def test_every_file_is_in_one_unit(names: list[str], size: int) -> None:
    units = list_all(*names, size=size)
    assert [image.id for unit in units for image in unit.images()] == list(dict.fromkeys(names))
    assert [len(unit) for unit in units[:-1]] == [size] * (len(units) - 1)
    assert 1 <= len(units[-1]) <= size
    assert [unit_from_json(unit_to_json(unit)) for unit in units] == units


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(rows=st.integers(1, 200), group=st.integers(1, 210), size=st.integers(1, 210))
def test_every_row_is_in_one_unit(tmp_path: Path, rows: int, group: int, size: int) -> None:
    file = make_parquet(tmp_path / "t.parquet", {"bytes": [b"%d" % i for i in range(rows)]}, group)
    units = list_all(file, size=size)
    assert all(len(list(unit.images())) == len(unit) <= size for unit in units)
    assert contents(units) == [(f"{file}/{i}", b"%d" % i) for i in range(rows)]
    assert [unit_from_json(unit_to_json(unit)) for unit in units] == units


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12)
@given(st.dictionaries(st.from_regex(r"[a-zé]{1,120}\.(jpg|WEBP)", fullmatch=True), st.binary(max_size=2000)))
def test_every_member_is_in_one_unit(tmp_path: Path, members: dict[str, bytes]) -> None:
    file = make_tar(tmp_path / "t.tar", members.items())
    units = list_all(file, size=3)
    assert contents(units) == [(f"{file}/{name}", content) for name, content in members.items()]
    assert [contents([unit_from_json(unit_to_json(unit))]) for unit in units] == [
        contents([unit]) for unit in units
    ]


def test_a_folder_holds_images_and_files_of_images(snippets: list[Path], tmp_path: Path) -> None:
    for path in snippets[:3]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "shards").mkdir()
    make_webdataset(tmp_path / "shards" / "0.tar", snippets[3:6])
    make_parquet(tmp_path / "shards" / "1.parquet", {"jpg": [p.read_bytes() for p in snippets[6:9]]})
    (tmp_path / "notes.txt").write_text("no photo")
    units = list_all(tmp_path)
    assert [type(unit) for unit in units] == [FileUnit, TarUnit, ParquetUnit]
    assert [content for _, content in contents(units)] == [path.read_bytes() for path in snippets[:9]]
    twice = list_all(tmp_path, tmp_path / "shards", tmp_path / "0000.jpg")
    assert contents(twice) == contents(units)


def test_of_members_of_one_name_the_last(tmp_path: Path) -> None:
    file = make_tar(tmp_path / "t.tar", [("a.jpg", b"old"), ("b.jpg", b"b"), ("a.jpg", b"new")])
    assert dict(contents(list_all(file))) == {f"{file}/a.jpg": b"new", f"{file}/b.jpg": b"b"}


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
    units = contents(list_all(file))
    assert [content for _, content in units] == [photo.read_bytes() for photo in photos]
    names = values if column == "path" else range(3)
    assert [name for name, _ in units] == [f"{file}/{name}" for name in names]


def test_named_columns_and_relative_paths(snippets: list[Path], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(snippets[0].read_bytes())
    table = {"id": [4, 5], "photo": ["a.jpg", "a.jpg"], "name": ["x", None], "image": [b"", b""]}
    file = make_parquet(tmp_path / "t.parquet", table)
    units = contents(list_all(file, columns=Columns("photo", "name")))
    assert units == [(f"{file}/{name}", snippets[0].read_bytes()) for name in ("x", 1)]
    assert [name for name, _ in contents(list_all(file))] == [f"{file}/4", f"{file}/5"]
    with pytest.raises(UsageError, match=r"--column nope: .*id, photo, name, image"):
        list_all(file, columns=Columns("nope"))
    with pytest.raises(UsageError, match="--id-column nope"):
        list_all(file, columns=Columns(None, "nope"))
    with pytest.raises(UsageError, match="--column"):
        list_all(make_parquet(tmp_path / "u.parquet", {"text": ["a"]}))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_damaged_and_missing_files_are_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{kind}").write_bytes(b"nothing of the sort" * 100)
    for name in ("a", "missing"):
        with pytest.raises(DataError, match=rf"{name}\.{kind}: it cannot be read"):
            list_all(tmp_path / f"{name}.{kind}")


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'showtell\[scale\]'"):
        list_all(tmp_path / "a.parquet")


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    file = make_tar(tmp_path / "a.tar", [("a.jpg", b"a")], "w:gz")
    with pytest.raises(DataError, match="unpack it if it is compressed"):
        list_all(file)
