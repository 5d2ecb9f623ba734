"""ROUGE-L (Lin 2004): F-measure of the longest common subsequence with the references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from showtell.errors import DataError
from showtell.evaluation.ngrams import Floats

BETA = 1.2
"""How much recall counts against precision, as in the COCO evaluation."""


def rouge_l(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> Floats:
    """ROUGE-L of one caption per image, as in the COCO evaluation (Chen et al. 2015, arXiv:1504.00325).

    Precision and recall are each that of the reference that is best for it.

    Args:
        candidates: for each of N images a caption, as words.
        references: for each of these images its captions, as words.

    Returns:
        (N,) scores in 0..1; their mean is the score of the corpus.

    Raises:
        DataError: there are not as many candidates as images, or an image has no references.
    """
    if len(candidates) != len(references):
        raise DataError(f"ROUGE-L: {len(candidates)} candidates for {len(references)} images; give one each")
    scores = np.zeros(len(candidates))
    for index, (candidate, captions) in enumerate(zip(candidates, references, strict=True)):
        if not captions:
            raise DataError(f"ROUGE-L: image {index} has no references; give at least one")
        common = common_subsequence_lengths(candidate, captions)
        precision = max(common) / max(len(candidate), 1)
        recall = max(c / max(len(caption), 1) for c, caption in zip(common, captions, strict=True))
        if precision and recall:
            scores[index] = (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
    return scores


def common_subsequence_lengths(
    candidate: Sequence[Hashable], captions: Sequence[Sequence[Hashable]]
) -> list[int]:
    """Length of the longest common subsequence of a caption with each of others.

    A row of the usual table is one integer: bit j is 0 if the length rises at word j (Hyyro 2004,
    "Bit-parallel LCS-length computation revisited").
    """
    positions: defaultdict[Hashable, int] = defaultdict(int)  # word -> its positions, as bits
    for index, word in enumerate(candidate):
        positions[word] |= 1 << index
    every = (1 << len(candidate)) - 1
    lengths = []
    for caption in captions:
        row = every
        for word in caption:
            matches = row & positions.get(word, 0)
            row = (row + matches) | (row - matches)
        lengths.append(len(candidate) - (row & every).bit_count())
    return lengths
