"""Captions of scripts without spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import islice
from typing import Final

_LETTERS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Tibetan, Burmese, Khmer
    "\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Chinese characters
)
_WORD: Final = re.compile(f"[{_LETTERS}]+")
_LONGEST_WORD: Final = 7.0  # letters: words of Thai have 4 to 5 on average, of Chinese 1.5
_SAMPLE: Final = 2000  # captions


def segment(caption: str) -> str:
    """Put spaces around each character of a script without spaces; marks stay with the letter before them.

    "\u4e00\u53ea\u72d7 runs" becomes "\u4e00 \u53ea \u72d7 runs", as BERT and many Chinese captioners do it.
    """
    return " ".join(_WORD.sub(_characters, caption).split())


def _characters(run: re.Match[str]) -> str:
    parts: list[str] = []
    for letter in run[0]:
        if parts and unicodedata.category(letter) in ("Mn", "Mc"):
            parts[-1] += letter
        else:
            parts.append(letter)
    return f" {' '.join(parts)} "


def unsegmented_length(captions: Iterable[str]) -> float:
    """Letters per word of scripts without spaces, if that shows that words are not separated; else 0.

    Args:
        captions: as written; of many, the first 2,000 are looked at.
    """
    words = (word for caption in islice(captions, _SAMPLE) for word in _WORD.findall(caption))
    lengths = [len(word) for word in words]
    mean = sum(lengths) / len(lengths) if lengths else 0.0
    return mean if mean > _LONGEST_WORD else 0.0
