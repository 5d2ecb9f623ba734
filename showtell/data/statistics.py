"""Statistics of a captioned dataset, and an HTML page of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from showtell.data.records import CaptionedImage, Split
from showtell.data.splits import by_split
from showtell.errors import DataError
from showtell.utils.files import write_atomic
from showtell.utils.plots import plot_bars, plot_histogram, plot_lines
from showtell.web.templates import load_template

Tokenize = Callable[[str], Sequence[str]]

THRESHOLDS = (1, 2, 3, 5, 10, 20, 50)
"""Values of `min_count` to compare."""
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_NUM_WORDS = 50
_NUM_EXAMPLES = 5


@dataclass(frozen=True)
class SplitSize:
    """How much a split holds.

    Attributes:
        split: its name.
        images: images in it.
        captions: captions in it.
    """

    split: Split
    images: int
    captions: int


@dataclass(frozen=True)
class Coverage:
    """Coverage of a vocabulary of the words that occur at least `min_count` times in the training captions.

    Attributes:
        min_count: the threshold.
        words: words kept.
        tokens: share of the words of the training captions that are kept, each time they come; 0..1.
        captions: share of the training captions without an unknown word, 0..1.
        held_out_tokens: as `tokens`, of the held-out captions; None if there are none.
        held_out_captions: as `captions`, of the held-out captions; None if there are none.
    """

    min_count: int
    words: int
    tokens: float
    captions: float
    held_out_tokens: float | None
    held_out_captions: float | None


@dataclass(frozen=True)
class Example:
    """A caption of the dataset.

    Attributes:
        caption: as written.
        image: the name of its image file.
        length: its words.
    """

    caption: str
    image: str
    length: int


@dataclass(frozen=True)
class DatasetStatistics:
    """A captioned dataset in numbers. Words are those of the tokenizer; vocabulary: training captions.

    Attributes:
        splits: the size of each split that is not empty.
        captions_per_image: number of captions -> images that have as many.
        lengths: number of words -> captions of that length.
        length_mean: mean length of a caption, in words.
        length_percentiles: percentile -> length of a caption, in words.
        duplicates: captions that equal an earlier one, of the same image or another, word for word.
        min_count: the threshold that the run uses.
        word_counts: how often each word comes in the training captions, most frequent first.
        coverage: for each threshold, what is kept.
        held_out: the split that `Coverage.held_out_*` are of, or None.
        shortest: the shortest captions.
        longest: the longest captions.
    """

    splits: tuple[SplitSize, ...]
    captions_per_image: dict[int, int]
    lengths: dict[int, int]
    length_mean: float
    length_percentiles: dict[int, float]
    duplicates: int
    min_count: int
    word_counts: dict[str, int]
    coverage: tuple[Coverage, ...]
    held_out: Split | None
    shortest: tuple[Example, ...]
    longest: tuple[Example, ...]

    @property
    def num_images(self) -> int:
        """Images in all splits."""
        return sum(size.images for size in self.splits)

    @property
    def num_captions(self) -> int:
        """Captions in all splits."""
        return sum(size.captions for size in self.splits)

    @property
    def chosen(self) -> Coverage:
        """The coverage at the run's own threshold."""
        return next(row for row in self.coverage if row.min_count == self.min_count)

    @property
    def frequent_words(self) -> dict[str, int]:
        """The 50 most frequent words and how often they come."""
        return dict(list(self.word_counts.items())[:_NUM_WORDS])


def dataset_statistics(
    images: Sequence[CaptionedImage], *, tokenize: Tokenize, min_count: int
) -> DatasetStatistics:
    """Count what a dataset holds.

    Args:
        images: the dataset, with some training images.
        tokenize: caption -> words.
        min_count: the run's threshold for words; added to the thresholds compared.

    Raises:
        DataError: there are no training images.
    """
    train = by_split(images, "train")
    if not train:
        raise DataError("the dataset has no training images to make statistics of; put some in 'train'")
    present: dict[Split, list[CaptionedImage]] = {
        split: part for split in get_args(Split) if (part := by_split(images, split))
    }
    words: dict[str, int] = {}
    tokens = {split: _Tokens.of(part, tokenize, words) for split, part in present.items()}
    held_out: Split | None = next((split for split in ("val", "test") if split in present), None)
    counts = np.bincount(tokens["train"].ids, minlength=len(words))
    lengths = np.concatenate([part.lengths for part in tokens.values()])
    order = sorted(((-int(counts[index]), word) for word, index in words.items() if counts[index] > 0))
    shortest, longest = _examples([image for part in present.values() for image in part], lengths)
    return DatasetStatistics(
        splits=tuple(SplitSize(s, len(part), len(tokens[s].lengths)) for s, part in present.items()),
        captions_per_image=dict(sorted(Counter(len(image.captions) for image in images).items())),
        lengths=dict(sorted(Counter(lengths.tolist()).items())),
        length_mean=float(lengths.mean()),
        length_percentiles={p: float(np.percentile(lengths, p)) for p in _PERCENTILES},
        duplicates=len(lengths) - len({key for part in tokens.values() for key in part.contents()}),
        min_count=min_count,
        word_counts={word: -count for count, word in order},
        coverage=tuple(
            _coverage(threshold, counts, tokens["train"], tokens[held_out] if held_out else None)
            for threshold in sorted({*THRESHOLDS, min_count})
        ),
        held_out=held_out,
        shortest=shortest,
        longest=longest,
    )


@dataclass(frozen=True)
class _Tokens:
    """The words of many captions, as numbers in one row.

    Attributes:
        ids: (words,) the number of each word, one caption after the other.
        lengths: (captions,) words of each caption.
    """

    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]

    @classmethod
    def of(cls, images: Iterable[CaptionedImage], tokenize: Tokenize, words: dict[str, int]) -> _Tokens:
        """Number the words of captions; new words are added to `words`."""
        ids, lengths = array("i"), array("q")
        for image in images:
            for caption in image.captions:
                tokens = tokenize(caption)
                lengths.append(len(tokens))
                ids.extend([words.setdefault(token, len(words)) for token in tokens])
        return cls(np.array(ids, np.int32), np.array(lengths, np.int64))

    def contents(self) -> list[bytes]:
        """One value a caption, the same for two captions of the same words."""
        ends = np.cumsum(self.lengths)
        return [self.ids[end - n : end].tobytes() for end, n in zip(ends, self.lengths, strict=True)]

    def covered(self, known: npt.NDArray[np.bool_]) -> tuple[float, float]:
        """Share of the words that are known, and of the captions that have known words only."""
        hits = known[self.ids]
        captions = np.repeat(np.arange(len(self.lengths)), self.lengths)
        with_unknown = np.unique(captions[~hits]).size
        return float(hits.mean()) if hits.size else 1.0, 1 - with_unknown / len(self.lengths)


def _coverage(
    threshold: int, counts: npt.NDArray[np.int64], train: _Tokens, held_out: _Tokens | None
) -> Coverage:
    known = counts >= threshold
    outside = held_out.covered(known) if held_out else (None, None)
    return Coverage(threshold, int(known.sum()), *train.covered(known), *outside)


def _examples(
    images: Sequence[CaptionedImage], lengths: npt.NDArray[np.int64]
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """The shortest and the longest captions; `lengths` is of the captions of the images, in order."""
    captions = [(caption, image.path.name) for image in images for caption in image.captions]

    def examples(indices: Iterable[int]) -> tuple[Example, ...]:
        return tuple(Example(*captions[index], length=int(lengths[index])) for index in indices)

    shortest, longest = np.argsort(lengths, kind="stable"), np.argsort(-lengths, kind="stable")
    return examples(shortest[:_NUM_EXAMPLES]), examples(longest[:_NUM_EXAMPLES])


def write_statistics_page(stats: DatasetStatistics, folder: Path, title: str) -> Path:
    """Write `statistics.html` and its plots (PNG files beside it).

    Args:
        stats: the numbers.
        folder: where to write; made if it is not there.
        title: the heading, such as the dataset's name.

    Returns:
        The page.

    Raises:
        OSError: the folder cannot be written.
    """
    _plot(stats, folder)
    template = load_template(
        "statistics.html",
        "data",
        percent=lambda share: "" if share is None else f"{100 * share:.1f} %",
        number=lambda value: f"{value:,}",
    )
    page = template.render(stats=stats, title=title)
    return write_atomic(folder / "statistics.html", page)


def _plot(stats: DatasetStatistics, folder: Path) -> None:
    plot_histogram(
        stats.lengths,
        folder / "caption_lengths.png",
        title="Length of the captions",
        x_label="words",
        y_label="captions",
        marks={"mean": stats.length_mean, "95 % are at most": stats.length_percentiles[95]},
    )
    curves = {
        "words, training": [(row.min_count, 100 * row.tokens) for row in stats.coverage],
        "captions, training": [(row.min_count, 100 * row.captions) for row in stats.coverage],
    }
    if stats.held_out:
        name = f"captions, {stats.held_out}"
        curves[name] = [(row.min_count, 100 * (row.held_out_captions or 0)) for row in stats.coverage]
    plot_lines(
        curves,
        folder / "coverage.png",
        title="What the vocabulary covers",
        x_label="a word is kept if it is seen at least this often",
        y_label="% without unknown words",
        log_x=True,
        markers=True,
        x_ticks=[row.min_count for row in stats.coverage],
    )
    plot_lines(
        {"words": list(enumerate(stats.word_counts.values(), start=1))},
        folder / "word_ranks.png",
        title="How often words come, by rank",
        x_label="rank of the word",
        y_label="times seen",
        log_x=True,
        log_y=True,
    )
    plot_bars(
        dict(list(stats.frequent_words.items())[:30]),
        folder / "frequent_words.png",
        title="Most frequent words",
        x_label="times seen in training captions",
    )
