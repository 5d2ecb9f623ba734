"""The one tokenizer: the words that the COCO evaluation sees, in Python.

Captions are compared after Stanford's PTBTokenizer (Java; Penn Treebank rules), lower-cased, without
punctuation (`pycocoevalcap.tokenizer`). These are its rules as far as captions need them; training and
metrics use the same words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

PUNCTUATION: Final = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""Tokens that the COCO evaluation leaves out. (Its list names brackets too, as "-LRB-"; the tokens it looks
at are "-lrb-", so that brackets stay. So they do here.)"""

# Abbreviations that keep their full stop. The first kind keep it anywhere; the second only before another
# word, since they often end a sentence; the third only before a number.
_TITLES = (
    "mr mrs ms mssrs dr prof rev gen lt col sgt capt cpl maj gov sen rep hon pres supt messrs"
    " adm cmdr comdr st ste mt ft ave blvd rd"
)
_ENDINGS = (
    "jr sr bros esq inc co corp ltd etc al vs ph.d d.c u.s jan feb mar apr jun jul aug sept sep oct nov dec"
    " mon tue tues wed thu thurs fri approx dept est assoc"
)
_BEFORE_NUMBERS = "no nos pp vol ca fig p"

_STATES = (
    "Ala Ariz Ark Calif Colo Conn Ct Del Fla Ga Ill Kan Kans KY Ky La Mass Mich Minn Miss Mo Mont Neb Nev"
    " Okla Ore Pa Penn Tenn Tex Va Vt Wash Wis Wisc Wyo"
)


def _any(words: str) -> str:
    return "|".join(map(re.escape, words.split()))


_LETTERS = r"[^\W_]"
_WORD = rf"{_LETTERS}+(?:(?:-(?!-)|[_/.@*#$%])+{_LETTERS}+)*"
_CLITICS = r"(?:s|m|d|re|ve|ll)(?!\w)"

_TOKEN: Final = re.compile(
    rf"""
      (?:https?://|www\.)[^\s"<>|(){{}}]*[^\s"<>|.!?(){{}},]           # addresses
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | (?:[a-z]\.){{2,}}(?!{_LETTERS})                                # t.v.
    | (?-i:(?<![^\s"])[A-Z])\.(?=\s)                                # W. Centre
    | (?-i:{_any(_STATES)})\.(?!\w)
    | (?:{_any(_TITLES)})\.(?=\s|$|[,"])
    | (?:{_any(_ENDINGS)})\.(?=\s+{_LETTERS}|\s*,)
    | (?:{_any(_BEFORE_NUMBERS)})\.(?=\s*\d)
    | (?<!\S)'(?:\d0s|em|til|till|tis|twas|cause)(?!\w)
    | 'n'?(?!\w)
    | {_LETTERS}+(?=n't(?!\w)) | n't(?!\w)                          # is n't
    | {_LETTERS}+'(?!{_CLITICS})(?!t(?!\w)){_LETTERS}+(?:['-]{_LETTERS}+)*  # o'clock
    | '{_CLITICS}
    | (?-i:[A-Z]+(?:&[A-Z]+)+)(?!\w)                                # B&W
    | (?<!\S)[-+]\d+(?:[.,]\d+)*(?![\w-])
    | \d+[ ]\d+/\d+(?!\w)                                          # 22 3/4
    | \d+:\d\d(?=[ap]\.?m)
    | \d+(?:[.,:/]\d+)+(?![-\w])                                   # 11:44
    | {_WORD}
    | [^\s"]
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BRACKETS: Final = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_TWO_WORDS: Final = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "wanna": ("wan", "na"),
    "gimme": ("gim", "me"),
    "lemme": ("lem", "me"),
}
_PLAIN: Final = re.compile(r"[A-Za-z ,]*?([A-Za-z]{2,})[ ]?\.?\s*")
"""Most captions: letters, commas, a full stop at the end. They need no rules, if that is no abbreviation."""
_ABBREVIATIONS: Final = frozenset(" ".join((_TITLES, _ENDINGS, _STATES)).lower().split())
_STOPS: Final = str.maketrans(",.", "  ")
_CLITIC: Final = re.compile(r" (?='(?:s|m|d|re|ve|ll)\b|n't\b)")


def tokenize(caption: str) -> list[str]:
    """Split a caption into lower-case words, without punctuation.

    Args:
        caption: one caption; line ends count as spaces.

    Returns:
        Its words: "A man's T.V. isn't on." -> a man 's t.v. is n't on.
    """
    plain = _PLAIN.fullmatch(caption)
    if plain and plain[1].lower() not in _ABBREVIATIONS:
        tokens = caption.lower().translate(_STOPS).split()
        return [word for token in tokens for word in _TWO_WORDS.get(token, (token,))]
    text = caption.replace("\u2019", "'").replace("\u2018", "'")
    words: list[str] = []
    for match in _TOKEN.findall(text):
        token = match.lower()
        if token in _TWO_WORDS:
            words.extend(_TWO_WORDS[token])
        elif token not in PUNCTUATION:
            words.append(_BRACKETS.get(token, token.replace(" ", "\u00a0")))
    return words


def detokenize(words: Sequence[str]) -> str:
    """Join words as a person would write them: clitics to their word ("man 's" -> "man's")."""
    return _CLITIC.sub("", " ".join(words)).replace("can not", "cannot")
