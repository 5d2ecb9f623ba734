"""The table of captions: rows that were there stay, and a kill loses none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.annotations import load_annotations
from showtell.errors import AnnotationError, UsageError
from showtell.serving.review import review_folder
from showtell.serving.review.table import CaptionTable, SkippedList
from tests.conftest import make_snippets
from tests.serving.review.reviews import names, table


@pytest.mark.parametrize(
    "before",
    [
        "image,caption\n0001.jpg,mine\n",
        "\ufefffile_name;split;text\n0001.jpg;val;mine\n",
        "caption,image,note\nmine,./0001.jpg,x\nalso mine,./0001.jpg,y\n",
    ],
)
def test_rows_that_were_there_stay_as_they_are(folder: Path, before: str) -> None:
    (folder / "captions.csv").write_text(before, encoding="utf-8")
    review = review_folder(folder)
    assert names(review) == ["0000.jpg", "sub/two, é.jpg"]
    review.decide(0, "new; one, two")
    after = (folder / "captions.csv").read_text(encoding="utf-8")
    assert after.splitlines()[:-1] == before.removeprefix("\ufeff").splitlines()
    captions = {image.path.name: image.captions for image in load_annotations(folder).images}
    assert captions["0000.jpg"] == ("new; one, two",)
    assert captions["0001.jpg"][0] == "mine"


def test_rows_that_are_added_meanwhile_are_kept(folder: Path) -> None:
    review = review_folder(folder)
    review.decide(0, "a dog")
    with (folder / "captions.csv").open("a", encoding="utf-8") as file:
        file.write("sub/two, é.jpg,broken\n")
    with pytest.raises(AnnotationError, match=r"captions\.csv: line 3: 3 fields, not 2; correct the row"):
        review.decide(1, "a cat")
    assert (folder / "captions.csv").read_text(encoding="utf-8").endswith("broken\n")


_DECIDE = """
import sys
from pathlib import Path
from showtell.serving.review.session import review_folder
review = review_folder(Path(sys.argv[1]))
for number in range(len(review.items)):
    review.decide(number, f"caption {number}")
    print(number, flush=True)
"""


def test_a_kill_loses_no_decision(tmp_path: Path) -> None:
    make_snippets(tmp_path, 1)
    image = (tmp_path / "0000.jpg").read_bytes()
    for number in range(60):
        (tmp_path / f"{number:04}.jpg").write_bytes(image)
    answered = -1
    for count in (3, 7):
        command = [sys.executable, "-c", _DECIDE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(count):
                process.stdout.readline()
            os.kill(process.pid, signal.SIGKILL)  # anywhere in the next decision, or the one after
            answered += count + len(process.stdout.read().splitlines())
        rows = dict(table(tmp_path)[1:])
        assert {f"{number:04}.jpg" for number in range(answered + 1)} <= set(rows)
        assert len(load_annotations(tmp_path).images) == len(rows)
        answered = len(rows) - 1  # one more may have been saved than was answered
    review_folder(tmp_path).skip(0)  # the next write deletes what killed ones have left
    others = {path.name for path in tmp_path.iterdir() if path.suffix != ".jpg"}
    assert others == {"captions.csv", "captions.skipped.csv"}


@pytest.mark.parametrize(
    ("output", "complaint"),
    [("captions.txt", "name a .csv file"), ("sub", "name a .csv file"), ("captions", "name a .csv file")],
)
def test_the_output_is_a_table(folder: Path, output: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        review_folder(folder, folder / output)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.jpg", "./a.jpg", "b/c.jpg", "=1.jpg"]),
            st.none() | st.text('ab,";\n ', max_size=5),
        ),
        max_size=8,
    )
)
def test_the_table_holds_the_last_caption_of_each_image(changes: list[tuple[str, str | None]]) -> None:
    expected: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.csv"
        for name, caption in changes:
            key = name.removeprefix("./")
            expected.pop(key, None)
            if caption is not None:
                expected[key] = caption
            CaptionTable.read(path).replace(name, caption)
        written = CaptionTable.read(path)
    assert [(row[0].removeprefix("./"), row[1]) for row in written.rows] == list(expected.items())
    assert len(written.captioned()) == sum(bool(caption.strip()) for caption in expected.values())


def test_the_skipped_images_are_a_list_beside_the_table(tmp_path: Path) -> None:
    skipped = SkippedList(tmp_path / "captions.csv")
    assert skipped.names() == []
    for name in ("a.jpg", "-b.jpg", "./a.jpg"):
        skipped.set(name, skipped=True)
    assert (tmp_path / "captions.skipped.csv").read_text() == "image\n./-b.jpg\n./a.jpg\n"
    skipped.set("a.jpg", skipped=False)
    skipped.set("c.jpg", skipped=False)
    assert skipped.names() == ["./-b.jpg"]
    skipped.path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(AnnotationError, match=r"captions\.skipped\.csv: cannot be read .*; delete it"):
        skipped.names()


def test_photos_whose_names_look_the_same_keep_their_own_captions(tmp_path: Path) -> None:
    (first, second) = make_snippets(tmp_path, 2)
    first.rename(tmp_path / "a.JPG")
    second.rename(tmp_path / "a.jpg")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("file names here do not tell upper from lower case")
    review = review_folder(tmp_path)
    assert names(review) == ["a.JPG", "a.jpg"]
    review.decide(0, "a dog")
    review.skip(1)
    again = review_folder(tmp_path)
    assert (names(again), again.decided_before) == ([], 2)
    review.decide(1, "a cat")
    assert table(tmp_path) == [["image", "caption"], ["a.JPG", "a dog"], ["a.jpg", "a cat"]]
    review.undo(0)
    assert names(review_folder(tmp_path)) == ["a.JPG"]


@pytest.mark.parametrize("row", ["0000.jpg,un caf\u00e9", "caf\u00e9.jpg,coffee"])
def test_a_table_in_another_encoding_is_refused_at_the_start(folder: Path, row: str) -> None:
    (folder / "captions.csv").write_bytes(f"image,caption\n{row}\n".encode("cp1252"))
    with pytest.raises(AnnotationError, match=r"captions\.csv: not UTF-8 text; save the file as UTF-8"):
        review_folder(folder)


@pytest.mark.skipif(os.name == "nt", reason="links and permissions of POSIX")
def test_the_table_keeps_its_permissions_and_its_link(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "private.csv"
    elsewhere.write_text("image,caption\n")
    elsewhere.chmod(0o600)
    (folder / "captions.csv").symlink_to(elsewhere)
    review_folder(folder).decide(0, "a dog")
    assert (folder / "captions.csv").is_symlink()
    assert elsewhere.read_text() == "image,caption\n0000.jpg,a dog\n"
    assert elsewhere.stat().st_mode & 0o777 == 0o600
