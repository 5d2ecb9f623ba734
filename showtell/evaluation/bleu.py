"""BLEU (Papineni et al. 2002) of captions, all n-grams of all captions at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import chain, count

import numpy as np

from showtell.errors import DataError
from showtell.evaluation.ngrams import Counts, Floats, Ints, Ngrams, pack

ORDERS = 4
_SMALL, _TINY = 1e-9, 1e-15  # what the COCO evaluation adds below and above the line


def bleu(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> tuple[Floats, Floats]:
    """BLEU-1 to BLEU-4 of one caption per image, as in the COCO evaluation (arXiv:1504.00325).

    The reference whose length is closest (of two, the shorter) decides the brevity penalty.

    Args:
        candidates: for each of N images a caption, as words.
        references: for each of these images its captions, as words.

    Returns:
        (4,) scores of the corpus, and (N, 4) of each caption, in 0..1.

    Raises:
        DataError: there are no images, one has no references, or there are not as many candidates.
    """
    counts = bleu_counts(candidates, references)
    return bleu_from_counts(counts.sum(axis=0)), bleu_from_counts(counts)


def bleu_counts(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> Floats:
    """The sufficient statistics of BLEU for each caption (see `bleu`, `bleu_from_counts`).

    Returns:
        (N, 10): correct n-grams of 1 to 4 words, all n-grams of 1 to 4 words, words of the candidate, and
        words of the closest reference.

    Raises:
        DataError: as `bleu`.
    """
    if len(candidates) != len(references):
        raise DataError(f"BLEU: {len(candidates)} candidates for {len(references)} images; give one each")
    if not candidates or not all(references):
        raise DataError("BLEU: no captions, or an image without references; give at least one of each")
    lengths = np.array([len(words) for words in candidates])
    guessed = np.maximum(lengths[:, None] - np.arange(ORDERS), 0)  # (N, 4)
    wanted = _closest(lengths, references)
    columns = [_correct(candidates, references), guessed, lengths[:, None], wanted[:, None]]
    return np.concatenate(columns, axis=1).astype(np.float64)


def bleu_from_counts(sums: Floats) -> Floats:
    """BLEU-1 to BLEU-4 (..., 4) of sums (..., 10) of `bleu_counts`."""
    correct, guessed = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
    length, reference_length = sums[..., -2:-1], sums[..., -1:]
    precision = np.cumprod((correct + _TINY) / (guessed + _SMALL), axis=-1)
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity = np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1)
    scores: Floats = precision ** (1 / np.arange(1, ORDERS + 1)) * brevity
    return scores


def _closest(lengths: Ints, references: Sequence[Sequence[Sequence[Hashable]]]) -> Ints:
    """Length (N,) of the reference whose length is closest to the caption's."""
    return np.array(
        [
            min((abs(len(words) - length), len(words)) for words in captions)[1]
            for length, captions in zip(lengths.tolist(), references, strict=True)
        ]
    )


def _correct(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> Ints:
    """N-grams (N, 4) of each caption that a reference has, each at most as often as it has it."""
    numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
    captions = [*candidates, *chain.from_iterable(references)]
    words = np.array([numbers[word] for word in chain.from_iterable(captions)], np.int64)
    ngrams = Ngrams(words, np.array([len(caption) for caption in captions]))
    images = np.repeat(np.arange(len(references)), [len(some) for some in references])
    correct = np.zeros((len(candidates), ORDERS), np.int64)
    for order in range(ORDERS):
        _, alike = np.unique(ngrams.keys, return_inverse=True)
        correct[:, order] = _clipped(ngrams.count(alike), images, len(candidates))
        ngrams.lengthen(alike)
    return correct


def _clipped(counts: Counts, images: Ints, number: int) -> Ints:
    """Of the first `number` captions the n-grams (number,) that the references, all others, have too."""
    first = int(np.searchsorted(counts.caption, number))
    wanted = pack(images[counts.caption[first:] - number], counts.ngram[first:])
    by_pair = np.lexsort((-counts.times[first:], wanted))  # the most frequent first
    pairs, most = np.unique(wanted[by_pair], return_index=True)
    times = counts.times[first:][by_pair][most]
    candidate_ngrams = pack(counts.caption[:first], counts.ngram[:first])
    index = np.minimum(np.searchsorted(pairs, candidate_ngrams), max(len(pairs) - 1, 0))
    if not len(pairs):
        return np.zeros(number, np.int64)
    shared = np.where(pairs[index] == candidate_ngrams, np.minimum(counts.times[:first], times[index]), 0)
    return np.bincount(counts.caption[:first], shared, number).astype(np.int64)
