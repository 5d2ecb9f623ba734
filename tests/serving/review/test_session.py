"""Sessions of reviews: decisions in any order, and only the photos of the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from showtell.data.annotations import load_annotations
from showtell.errors import ImageError, UsageError
from showtell.serving.review import review_folder
from tests.conftest import make_snippets
from tests.serving.review.reviews import names, table

# ---- Decisions and their files


def test_decisions_are_saved_at_once_and_read_as_a_dataset(folder: Path) -> None:
    review = review_folder(folder)
    assert names(review) == ["0000.jpg", "0001.jpg", "sub/two, é.jpg"]
    review.decide(0, 'a "red" dog, wet')
    review.skip(1)
    review.decide(2, "ein Hund")
    assert table(folder)[1:] == [["0000.jpg", 'a "red" dog, wet'], ["sub/two, é.jpg", "ein Hund"]]
    images = load_annotations(folder).images
    assert [(image.path.name, image.captions) for image in images] == [
        ("0000.jpg", ('a "red" dog, wet',)),
        ("two, é.jpg", ("ein Hund",)),
    ]
    again = review_folder(folder)
    assert (again.items, again.decided_before) == ([], 3)


@pytest.mark.parametrize("order", [("a", None), (None, "a"), ("a", "b"), ("a", None, "b"), (None, None)])
def test_the_last_decision_counts(folder: Path, order: tuple[str | None, ...]) -> None:
    review = review_folder(folder)
    for caption in order:
        review.skip(0) if caption is None else review.decide(0, caption)
    saved = table(folder)[1:] if (folder / "captions.csv").exists() else []
    assert saved == ([["0000.jpg", order[-1]]] if order[-1] else [])
    assert names(review_folder(folder)) == ["0001.jpg", "sub/two, é.jpg"]
    review.undo(0)
    assert names(review_folder(folder))[0] == "0000.jpg"
    assert review.counts() == (0, 0)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.none() | st.text("ab\"',;=é ", min_size=1, max_size=9))))
def test_any_order_of_decisions_leaves_what_was_decided(
    tmp_path_factory: pytest.TempPathFactory, decisions: list[tuple[int, str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("photos")
    make_snippets(folder, 3)
    review, expected = review_folder(folder), {}
    for number, caption in decisions:
        if caption is None or not caption.strip():
            review.skip(number)
            expected.pop(names(review)[number], None)
        else:
            review.decide(number, caption)
            expected[names(review)[number]] = caption
    assert dict(table(folder)[1:] if (folder / "captions.csv").exists() else []) == expected
    decided = {names(review)[number] for number, _ in decisions}
    assert set(names(review_folder(folder))) == set(names(review)) - decided


def test_two_reviews_do_not_write_one_file(folder: Path) -> None:
    with (
        review_folder(folder).alone(),
        pytest.raises(UsageError, match="another review"),
        review_folder(folder).alone(),
    ):
        pass
    with review_folder(folder).alone():
        pass


# ---- Only the photos of the folder


def test_links_out_of_the_folder_are_left_alone(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    Image.new("RGB", (8, 8)).save(secret)
    (folder / "link.jpg").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path / "others", target_is_directory=True)
    make_snippets(tmp_path / "others", 1)
    (folder / "inside.jpg").symlink_to(folder / "0000.jpg")
    os.mkfifo(folder / "pipe.jpg")
    assert names(review_folder(folder)) == ["0000.jpg", "0001.jpg", "inside.jpg", "sub/two, é.jpg"]


def test_a_photo_that_becomes_a_link_is_not_read(folder: Path, tmp_path: Path) -> None:
    review = review_folder(folder)
    (tmp_path / "secret").write_text("secret")
    (folder / "0000.jpg").unlink()
    (folder / "0000.jpg").symlink_to(tmp_path / "secret")
    with pytest.raises(ImageError, match="leads out of the folder"):
        review.read(0, 1000)
    (folder / "0001.jpg").unlink()
    with pytest.raises(ImageError, match="No such file"):
        review.read(1, 1000)
    with pytest.raises(ImageError, match="larger than 10 bytes"):
        review.read(2, 10)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no image files"):
        review_folder(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        review_folder(tmp_path / "none")


@pytest.mark.parametrize("output", [None, "mine.csv", "../labels/holiday.csv"])
def test_the_training_command_is_named(folder: Path, output: str | None) -> None:
    review = review_folder(folder, folder / output if output else None)
    review.decide(2, "a dog")
    words = review.then.split()
    root = Path(words[words.index("--data.root") + 1])
    images = Path(words[words.index("--data.images") + 1]) if "--data.images" in words else None
    assert load_annotations(root, images=images).images[0].path.name == "two, é.jpg"
