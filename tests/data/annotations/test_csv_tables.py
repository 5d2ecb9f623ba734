"""Tables of captions: delimiters, quotes, names of columns, and rows that cannot be used."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.annotations import load_annotations
from showtell.data.annotations.csv_tables import read_header, rows
from showtell.errors import AnnotationError
from tests.data.annotations.datasets import after_a_good_entry, check_bad_entry, records, touch, write


@pytest.mark.parametrize(("name", "mark"), [("captions.csv", ","), ("captions.tsv", "\t"), ("mine.csv", ";")])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_tables(tmp_path: Path, name: str, mark: str, start: bytes) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    touch(tmp_path / "images", "c.jpg")
    table = [
        ("Split", "image", "caption"),
        ("train", "a.jpg", '"A dog,\nwet"'),
        ("validation", "sub/b.jpg", "Un été"),
        ("", "a.jpg", "One dog"),
        ("", "c.jpg", "A bird"),
    ]
    file = write(tmp_path / name, start + "\n".join(map(mark.join, table)).encode())
    expected = [
        ("a.jpg", "train", ("A dog,\nwet", "One dog")),
        ("sub/b.jpg", "val", ("Un été",)),
        ("c.jpg", "train", ("A bird",)),
    ]
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == ("csv", expected)
    assert records(load_annotations(file)) == expected


@pytest.mark.parametrize("image", ["image", "file_name", "filename", "image_name", "path", "image_id"])
@pytest.mark.parametrize("caption", ["caption", "text", "comment", "sentence", "description"])
def test_columns_of_usual_names(tmp_path: Path, image: str, caption: str) -> None:
    file = write(tmp_path / "mine.csv", f"n,{image},{caption}\n1,a.jpg,A dog\n")
    ((_, row),) = rows(file)
    assert row.record() == {"n": "1", "image": "a.jpg", "caption": "A dog"}


@pytest.mark.parametrize("mark", [",", "\t", ";", " | "])
def test_columns_between_any_usual_delimiter(tmp_path: Path, mark: str) -> None:
    touch(tmp_path / "photos", "a.jpg")
    write(tmp_path / "mine.csv", f"n{mark}file_name{mark}text\n1{mark}a.jpg{mark}A dog\n")
    assert records(load_annotations(tmp_path)) == [("a.jpg", "train", ("A dog",))]


@pytest.mark.parametrize("mark", [",", "\t", ";", "|", ":"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_the_line_of_excel_that_names_the_delimiter(tmp_path: Path, mark: str, start: str) -> None:
    touch(tmp_path, "a.jpg")
    table = [("Image", "Text"), ("a.jpg", "A dog, wet"), ("a.jpg", "")]
    lines = [f"{start}sep={mark}", *map(mark.join, table)]
    file = write(tmp_path / "mine.csv", "\r\n".join(lines).replace("A dog, wet", '"A dog, wet"'))
    assert read_header(file) == (mark, ["Image", "Text"], ["image", "caption"])
    with pytest.raises(AnnotationError, match="line 4: empty caption"):
        load_annotations(tmp_path)
    assert records(load_annotations(tmp_path, skip_bad=True)) == [("a.jpg", "train", ("A dog, wet",))]


FIELDS = st.text("ab,;\t|\"'\n é", min_size=1, max_size=8).filter(
    lambda text: text.strip() == text and "\r" not in text
)


@given(st.sampled_from([",", ";"]), st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=4))
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, mark: str, table: list[tuple[str, str]]
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=mark, lineterminator="\n")
    writer.writerows([("image", "caption"), *table])
    file = write(tmp_path_factory.getbasetemp() / "written.csv", stream.getvalue())
    read = [tuple(row.record().values()) for _, row in rows(file)]
    assert read == [pair for pair in table if any(field.strip() for field in pair)]


def test_the_metadata_of_hugging_faces_image_folders(tmp_path: Path) -> None:
    for folder, name in (("train", "a.jpg"), ("validation", "b.jpg")):
        touch(tmp_path / folder, name)
        write(tmp_path / folder / "metadata.csv", f"file_name,text\n{name},A dog .\n")
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == (
        "csv",
        [("train/a.jpg", "train", ("A dog .",)), ("validation/b.jpg", "val", ("A dog .",))],
    )


ROWS = st.lists(st.tuples(st.sampled_from(["a.jpg", "./a.jpg", "b.jpg"]), st.sampled_from("xyz")), min_size=1)


@given(ROWS)
def test_a_row_that_repeats_an_earlier_one_is_dropped_and_counted(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.getbasetemp() / "repeated"
    touch(root, "a.jpg", "b.jpg")
    write(root / "captions.csv", "\n".join(map(",".join, [("image", "caption"), *table])))
    loaded = load_annotations(root)
    distinct = list(dict.fromkeys((name.removeprefix("./"), text) for name, text in table))
    read = [(image.path.name, text) for image in loaded.images for text in image.captions]
    assert sorted(read) == sorted(distinct)
    assert loaded.repeated == len(table) - len(distinct)


def test_the_log_counts_repeated_rows_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.jpg")
    write(tmp_path / "captions.csv", "image,caption\n" + "a.jpg,A dog\n" * 3)
    assert load_annotations(tmp_path).images[0].captions == ("A dog",)
    assert caplog.messages == [f"{tmp_path}: rows dropped that repeat an earlier one: 2"]


def test_absolute_paths_of_images(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.jpg")
    file = write(tmp_path / "set/captions.csv", f"image,caption\n{tmp_path}/elsewhere/a.jpg,A dog\n")
    assert load_annotations(file).images[0].path == tmp_path / "elsewhere" / "a.jpg"


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("Photo;File_Name;Text", (";", ["Photo", "File_Name", "Text"], ["photo", "image", "caption"])),
        ("image,caption,text", (",", ["image", "caption", "text"], ["image", "caption", "text"])),
        ("photo,label", None),
        ("", None),
    ],
)
def test_headers(tmp_path: Path, line: str, header: object) -> None:
    assert read_header(write(tmp_path / "a.csv", line)) == header


BAD_ENTRIES = {
    "missing file": (["c.jpg,x,", "c.jpg,y,"], "missing image file"),
    "empty caption": (["a.jpg,,"], "empty caption"),
    "caption of dots": (["a.jpg,...,"], "empty caption"),
    "comma in a caption": (["b.jpg,A cat, wet,val"], "wrong fields"),
    "no image": ([",A cat,val"], "wrong fields"),
    "two splits": (["a.jpg,A dog,val"], "two splits"),
    "unknown split": (["b.jpg,A cat,7"], "unknown split"),
    "Latin-1": ([b"a.jpg,Un \xe9t\xe9,"], "not UTF-8 text"),
    "open quote": (['b.jpg,"A cat,train', "b.jpg,One cat,train"], "broken quotes"),
    "quote closed in a later row": (['b.jpg,"A cat,train', 'b.jpg,"One, cat",train'], "broken quotes"),
    "stray quote": (['b.jpg,"Stop" sign,train'], "broken quotes"),
}


@pytest.mark.parametrize(("lines", "reason"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_bad_rows(tmp_path: Path, lines: list[str | bytes], reason: str) -> None:
    after_a_good_entry("captions.csv", *lines)(tmp_path)
    check_bad_entry(tmp_path, "captions.csv: line 3", reason)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "the file is empty"),
        ("image,caption\n", "no captioned image"),
        (
            "thing,words\na.jpg,A dog\n",
            r"no image \(or .*\) and no caption \(or .*\) in its .*, 'thing,words'",
        ),
        (
            "image,words\na.jpg,A dog\n",
            r"fields: no caption \(or text, .*'image,words'; name the",
        ),
        ("sep=;\nimage;words\na.jpg;A dog\n", r"no caption \(or text, .*, 'image;words'"),
        ("sep=;", r"no image .* 'sep=;'; name the columns there, as image,caption$"),
        ("image,caption\na.jpg,A dog\n".encode("utf-16"), "not UTF-8 text; save the file as UTF-8"),
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_table_that_cannot_be_used(
    tmp_path: Path, content: str | bytes, match: str, skip_bad: bool
) -> None:
    touch(tmp_path, "a.jpg")
    file = write(tmp_path / "captions.csv", content)
    with pytest.raises(AnnotationError, match=match) as caught:
        load_annotations(file, skip_bad=skip_bad)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
