"""Scores of captions against references, without Java.

The words are those of our tokenizer, which agrees with the PTB tokenizer of the COCO evaluation; the scores
are those of `pycocoevalcap` (Chen et al. 2015, arXiv:1504.00325).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from showtell.data.tokenizer import tokenize
from showtell.errors import DataError
from showtell.evaluation.bleu import bleu
from showtell.evaluation.cider import cider_d

BAD_ENDINGS: Final = frozenset(
    {"a", "an", "the", "this", "that", "his", "her", "its", "their"}
    | {"of", "in", "on", "at", "to", "with", "by", "for", "from", "into", "onto", "near", "over", "under"}
    | {"and", "or", "as", "while", "is", "are", "was", "were", "be"}
)
"""Words that no caption ends with, unless it was cut off."""


def ends_badly(words: Sequence[str]) -> bool:
    """Whether a caption has no words, or ends with one of `BAD_ENDINGS`."""
    return not words or words[-1] in BAD_ENDINGS


def describe_captions(captions: Sequence[str]) -> dict[str, float]:
    """Statistics of captions beside the scores: their length, their vocabulary, and incomplete endings.

    Args:
        captions: one or more.

    Returns:
        `words` a caption, `vocabulary` (distinct words in all of them), and `bad_endings`, the share of
        captions without words or with a last word of `BAD_ENDINGS`.

    Raises:
        DataError: no captions.
    """
    if not captions:
        raise DataError("no captions to describe; give at least one")
    tokens = [tokenize(caption) for caption in captions]
    return {
        "words": sum(map(len, tokens)) / len(tokens),
        "vocabulary": float(len({word for words in tokens for word in words})),
        "bad_endings": sum(map(ends_badly, tokens)) / len(tokens),
    }


def score_captions(
    predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Corpus scores: BLEU-1 to BLEU-4 (Papineni et al. 2002) and CIDEr (Vedantam et al. 2015).

    Args:
        predictions: a caption for each image id.
        references: image id -> human captions; may contain more images.

    Returns:
        `BLEU-1` .. `BLEU-4` in 0..1, and `CIDEr` in 0..10.

    Raises:
        DataError: nothing to score, or an image without references.
    """
    if not predictions:
        raise DataError("no captions to score; give at least one")
    unknown = predictions.keys() - references.keys()
    if unknown:
        raise DataError(f"image {min(unknown)}: captioned, but it has no reference captions")
    candidates = [tokenize(caption) for caption in predictions.values()]
    reference_words = [[tokenize(caption) for caption in references[image]] for image in predictions]
    scores = {f"BLEU-{n}": float(score) for n, score in enumerate(bleu(candidates, reference_words)[0], 1)}
    return scores | {"CIDEr": float(cider_d(candidates, reference_words).mean())}
