"""Numbers of a dataset, against plain counting, and the page that shows them."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from showtell.data.records import CaptionedImage, Split
from showtell.data.statistics import DatasetStatistics, dataset_statistics, write_statistics_page
from showtell.errors import DataError


def image(name: str, split: Split, *captions: str) -> CaptionedImage:
    return CaptionedImage(Path("photos") / name, captions, split, name)


def statistics(images: list[CaptionedImage], min_count: int = 2) -> DatasetStatistics:
    return dataset_statistics(images, tokenize=str.split, min_count=min_count)


SMALL = [
    image("a.jpg", "train", "a dog runs", "a dog"),
    image("b.jpg", "val", "a cat runs"),
    image("c.jpg", "train", "a big brown dog runs home", "a dog"),
]


def test_numbers_of_a_small_dataset() -> None:
    stats = statistics(SMALL)
    assert [(size.split, size.images, size.captions) for size in stats.splits] == [
        ("train", 2, 4),
        ("val", 1, 1),
    ]
    assert (stats.num_images, stats.num_captions) == (3, 5)
    assert stats.captions_per_image == {1: 1, 2: 2}
    assert stats.lengths == {2: 2, 3: 2, 6: 1}
    assert stats.length_mean == pytest.approx(16 / 5)
    assert stats.length_percentiles[50] == 3
    assert stats.duplicates == 1
    assert list(stats.word_counts.items())[:3] == [("a", 4), ("dog", 4), ("runs", 2)]
    assert "cat" not in stats.word_counts
    longest = stats.longest[0]
    assert (longest.caption, longest.image, longest.length) == ("a big brown dog runs home", "c.jpg", 6)
    assert [example.caption for example in stats.shortest[:3]] == ["a dog", "a dog", "a dog runs"]
    assert [example.image for example in stats.longest[1:]] == ["a.jpg", "b.jpg", "a.jpg", "c.jpg"]


def test_coverage_of_a_small_dataset() -> None:
    stats = statistics(SMALL, min_count=4)
    assert [row.min_count for row in stats.coverage] == [1, 2, 3, 4, 5, 10, 20, 50]
    one, two, three = stats.coverage[:3]
    assert (one.words, one.tokens, one.captions) == (6, 1.0, 1.0)
    assert one.held_out_tokens == pytest.approx(2 / 3)  # cat is not a training word
    assert (two.words, two.tokens, two.captions) == (3, pytest.approx(10 / 13), pytest.approx(3 / 4))
    assert (three.words, three.captions, three.held_out_captions) == (2, pytest.approx(2 / 4), 0.0)
    assert stats.chosen.min_count == 4


captions = st.lists(st.lists(st.sampled_from("abcdefgh")).map(" ".join), min_size=1, max_size=6).map(tuple)
datasets = st.lists(st.tuples(st.sampled_from(["train", "val", "test"]), captions), min_size=1, max_size=12)


@given(datasets, st.integers(1, 6))
def test_the_numbers_agree_with_plain_counting(
    rows: list[tuple[Split, tuple[str, ...]]], min_count: int
) -> None:
    images = [
        image("t.jpg", "train", "a b"),
        *(image(str(n), *row[:1], *row[1]) for n, row in enumerate(rows)),
    ]
    stats = statistics(images, min_count)
    texts = {
        s: [c.split() for i in images if i.split == s for c in i.captions] for s in ("train", "val", "test")
    }
    counts = Counter(word for text in texts["train"] for word in text)
    everything = [text for part in texts.values() for text in part]
    assert stats.word_counts == counts
    assert stats.lengths == Counter(map(len, everything))
    assert stats.duplicates == len(everything) - len(set(map(tuple, everything)))
    known = {word for word, count in counts.items() if count >= min_count}
    assert stats.chosen.words == len(known)
    assert stats.chosen.tokens == pytest.approx(sum(counts[word] for word in known) / counts.total())
    held_out = texts["val"] or texts["test"]
    for share, part in ((stats.chosen.captions, texts["train"]), (stats.chosen.held_out_captions, held_out)):
        expected = sum(set(text) <= known for text in part) / len(part) if part else None
        assert share == (expected if expected is None else pytest.approx(expected))


def test_no_training_images() -> None:
    with pytest.raises(DataError, match="no training images"):
        statistics([image("a.jpg", "val", "a dog")])


class Page(HTMLParser):
    """The images, texts and open tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.tags: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag == "img":
            self.images.append(dict(attrs))


@pytest.fixture(scope="module")
def small_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the small dataset, in a folder that was not there before."""
    folder = tmp_path_factory.mktemp("statistics") / "new"
    return write_statistics_page(statistics(SMALL), folder, "Three photos")


def test_the_page_shows_its_plots_and_numbers(small_page: Path) -> None:
    path = small_page
    page = Page(path.read_text(encoding="utf-8"))
    files = {item.name for item in path.parent.iterdir()}
    assert {str(item["src"]) for item in page.images} == files - {"statistics.html"}
    for item in page.images:
        assert len(str(item["alt"])) > 20
        with Image.open(path.parent / str(item["src"])) as plot:
            assert plot.convert("L").getextrema()[0] != plot.convert("L").getextrema()[1]
            if "width" in item:
                assert (int(str(item["width"])), int(str(item["height"]))) == plot.size
    text = " ".join(re.sub(r"<[^>]*>", " ", path.read_text(encoding="utf-8")).split())
    assert "1 caption repeats (20.0 %) an earlier one" in text
    assert "An image has 1 to 2 captions." in text
    assert page.tags["script"] == 0


def test_the_page_survives_any_words_and_titles(tmp_path: Path) -> None:
    odd = "<script>alert(1)</script> $x^2$ $ \u72ac \u200f {{ stats }} & \u00e9"
    path = write_statistics_page(statistics([image("<a>.jpg", "train", odd)]), tmp_path, "<b>&")
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "<b>" not in text
    assert "{{ stats }}" in text
    assert "Every image has 1 caption." in text


def test_captions_that_the_tokenizer_leaves_nothing_of(tmp_path: Path) -> None:
    stats = dataset_statistics(SMALL, tokenize=lambda _: [], min_count=5)
    assert (stats.lengths, stats.word_counts, stats.chosen.captions) == ({0: 5}, {}, 1.0)
    assert write_statistics_page(stats, tmp_path, "Nothing").is_file()


def test_the_same_dataset_makes_the_same_files(small_page: Path, tmp_path: Path) -> None:
    write_statistics_page(statistics(SMALL), tmp_path, "Three photos")
    assert len(list(tmp_path.iterdir())) == 5
    for item in tmp_path.iterdir():
        assert item.read_bytes() == (small_page.parent / item.name).read_bytes(), item.name
