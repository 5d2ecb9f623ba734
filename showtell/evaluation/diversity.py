"""How much the captions of one image differ from each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from showtell.errors import DataError
from showtell.evaluation.bleu import bleu


def distinct_n(captions: Sequence[Sequence[Hashable]], n: int) -> float:
    """Distinct n-grams of an image's captions over their words: Div-n (Shetty et al. 2017, arXiv:1703.10476).

    Args:
        captions: of one image, as words.
        n: words of an n-gram.

    Returns:
        0..1; 0 if there are no words.
    """
    ngrams = {tuple(words[i : i + n]) for words in captions for i in range(len(words) - n + 1)}
    return len(ngrams) / max(sum(map(len, captions)), 1)


def self_bleu(captions: Sequence[Sequence[Hashable]]) -> float:
    """Mean BLEU-4 of each of an image's captions against the others (Zhu et al. 2018, arXiv:1802.01886).

    Args:
        captions: two or more of one image, as words.

    Returns:
        0..1; 1 if all say the same.

    Raises:
        DataError: fewer than two captions.
    """
    if len(captions) < 2:
        raise DataError("self-BLEU compares the captions of an image: give two or more")
    others = [[*captions[:index], *captions[index + 1 :]] for index in range(len(captions))]
    return float(bleu(captions, others)[1][:, 3].mean())
