"""The one tokenizer: the words that the COCO evaluation sees, in Python.

Captions are compared after Stanford's PTBTokenizer (Java; Penn Treebank rules), lower-cased, without
punctuation (`pycocoevalcap.tokenizer`). These are its rules, written from what it answers; training and
metrics use the same words. Two differences are meant: "<pad>" is no token, so that no caption can name a
special token of the vocabulary; and letters and combining marks that are missing from that tokenizer's tables
(of Unicode 5: Kannada, Sinhala, Khmer and Burmese vowel signs, among others), where it drops them and breaks
the word, stay in their word here.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

PUNCTUATION: Final = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""Tokens that the COCO evaluation leaves out. (Its list names brackets too, as "-LRB-"; the tokens it looks
at are "-lrb-", so that brackets stay. So they do here.)"""

# Abbreviations that keep their full stop: anywhere; where written with a capital; in front of a number.
_ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bhd bldg blvd brig bros calif capt cf
    cie cmdr co col colo conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft
    ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lt ltd maj mar md messrs mfg
    mich minn mlle mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty
    pres prof pte ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt
    sys tel tenn thu tue tues univ va vs vt wed wis wisc wm wyo
"""
_CAPITALISED = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
_BEFORE_NUMBERS = "art ca fig figs no nos op pp prop"
# Words that start a sentence: a full stop between a single letter and one of them ends a sentence. So does
# one at the end of a caption: the evaluation runs all captions as one text, and the next starts with "A".
_STARTERS = """
    A After An As At But He Her If In It Now One Our She So Some That The Their There These They This We What
    When You
"""


def _any(words: str) -> str:
    return "(?:" + "|".join(sorted(words.split(), key=len, reverse=True)) + ")"


# Vowel signs, viramas and points are part of the letter that they follow. For the rules, each is replaced by
# a letter that no rule knows: one more class in each rule would make them slow to compile. The blocks are
# those with any, without the marks of symbols (U+20D0) and the variation selectors, which also follow emoji.
_MARK: Final = "\u0298"
_MARK_BLOCKS = (range(0x300, 0x20D0), range(0x2CE0, 0x3100), range(0xA660, 0xAC00), range(0x10A00, 0x12000))
# What the PTB tokenizer takes for letters although Unicode does not: modifiers, accents, two hyphens.
_MARK_LIKE = (
    "\u02c2\u02c3\u02c4\u02c5\u02d2\u02d3\u02d4\u02d5\u02d6\u02d7\u02d8\u02d9\u02da\u02db\u02dc\u02dd\u02de\u02df"
    "\u02e5\u02e6\u02e7\u02e8\u02e9\u02ea\u02eb\u02ed\u0375\u0384\u0385\u055a\u055b\u055c\u055d\u055e\u055f\u058a\u06fd\u06fe\u070f\ufb1e\u2010\u2011"
)


@functools.cache
def _marks_as_letters() -> dict[int, str]:
    """For `str.translate`: what belongs to a letter -> `_MARK`."""
    points = (point for block in _MARK_BLOCKS for point in block)
    marks = [point for point in points if unicodedata.category(chr(point)) in ("Mn", "Mc")]
    return dict.fromkeys([*marks, *map(ord, _MARK_LIKE)], _MARK)


# The symbols that it makes words of; it drops all others. The full stops of Hindi and Chinese are among them.
_SYMBOLS = (
    "\u0080\u00a1-\u00a9\u00ac\u00ae-\u00b4\u00b6-\u00b9\u00bc-\u00bf\u00d7\u00f7\u037e\u0387\u0589"
    "\u05be\u05c0\u05c3\u05c6\u05f3\u05f4\u0600-\u0603\u0606-\u060c\u0614\u061b\u061e\u061f\u066a"
    "\u066d\u06d4\u0700-\u070d\u07f6-\u07f8\u0964\u0965\u0e3f\u0e4f\u1fbd\u2016\u2017\u201a"
    "\u201e-\u2023\u2030-\u2038\u203b\u203e-\u2042\u2044\u2070\u2074-\u207e\u2080-\u208e\u20a0\u20a4"
    "\u20ac\u2100\u2101\u2103-\u2106\u2108\u2109\u2114\u2116-\u2118\u211e-\u2123\u2125\u2127\u2129"
    "\u212e\u213a\u213b\u2140-\u2144\u214a-\u214d\u214f\u2153-\u215e\u2190-\u2426\u2440-\u244a"
    "\u2460-\u2b73\u2b76-\u2bff\u3001\u3002\u3012\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40"
    "\uff5b-\uff65\uffe0\uffe1\uffe5\uffe6"
)
_NUMERALS = "0-9\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2150-\u2bff"
_L = rf"[^\W_{_NUMERALS}]"  # a letter
_W = rf"(?:{_L}|[0-9])"  # a letter or digit
_B = rf"(?:[^\W_{_NUMERALS}{_MARK}]|[0-9])"  # one without a mark: parts of words with hyphens and slashes
_Q = "['\u2019]"  # an apostrophe
_CLITIC = rf"(?<!{_Q}){_Q}(?:s|d|m|ll|re|ve)(?!{_L})"
_NOT = "n['\u2019\u2018`]t"
_ELIDED = rf"[dlno]{_Q}{_L}{{2,}}"
_VOWELS = rf"{_L}+[aeiouy]{_Q}[aeiou]{_L}*"
_SLASHED = rf"{_B}+(?:-{_B}+){{0,2}}"
_HYPHENATED = rf"(?:{_ELIDED}|{_L}(?:\.{_L})+\.|{_B}+(?:_{_B}+)*)"

# The first rule that fits makes the token; what fits none is dropped: space, quotes, full stops, dashes.
_TOKEN: Final = rf"""
      https?://[^\s<>"|(){{}}]*[^\s<>"|(){{}}.,!?;:']               # addresses
    | [a-z0-9][\w.-]*\.(?:com|net|org|edu)/[^\s<>"|(){{}}]+[^\s<>"|(){{}}.,!?;:']
    | {_W}[\w.-]*@[\w.-]*\w
    | [<>]?(?:[:;=]-?(?:[()\[\]p|\\{{]|(?-i:[DPO]))|:['o][()]|:3)(?!{_W})  # :-)
    | [-^]_[-^] | >_<
    | {_L}+?(?={_NOT}) | {_NOT}(?!{_L})                             # is n't
    | {_L}+(?={_CLITIC}) | {_CLITIC}                                # man 's
    | {_ELIDED} | {_VOWELS}                                         # o'clock, ma'am
    | (?:e{_Q}er|c{_Q}mon|c{_Q}est|cap{_Q}n|s{_Q}mores|ev{_Q}ry|nat{_Q}l|li{_Q}l|o{_Q}o)(?!{_L})
    | (?:ol|somethin|dunkin){_Q}(?!{_L}) | [dlj]{_Q} | y{_Q}(?={_L})
    | {_Q}(?:em|cause|till?|[0-9][0-9](?:s|(?![0-9]|{_CLITIC}))|n{_Q}|n(?!{_L})) | 't(?=is|was)
    | {_SLASHED}(?:/{_SLASHED}){{1,2}}(?!{_W})                       # and/or
    | \([0-9]{{3}}\)\s?[0-9]{{3}}[-\s][0-9]{{4}}                    # (650) 555-1234
    | [0-9]+[ -][0-9]+/[0-9]+                                       # 22 3/4
    | {_B}(?:{_B}|[.,]|_(?={_B})){{0,50}}(?:-{_HYPHENATED})+(?!{_W})       # close-up, U.S.-based
    | (?:{_L}\.){{2,}}(?!{_L}) | {_L}\.(?!{_L}|\s*$|\s+(?-i:{_any(_STARTERS)})\b)  # t.v.
    | (?:{_any(_ABBREVIATIONS)}|ph\.d)\.(?!{_L})                           # St.
    | (?-i:{_any(_CAPITALISED)})\.(?!{_L})
    | {_any(_BEFORE_NUMBERS)}\.(?=\s*[0-9])
    | (?-i:[A-Z]+(?:&[A-Z]+)+)(?!{_W}) | c\+\+ | [cf]\# | (?-i:US|HK|NZ|A|C)\$
    | \#{_L}+ | @[a-z]\w*
    | (?:(?<![-+])[-+])?[0-9]*(?:(?<![.])[.,:][0-9]+)+ | (?<![-+])[-+][0-9]+   # 11:44, -5
    | {_L}{_W}*(?:[.!?]{_L}{_W}*)+                                  # parked.A
    | {_W}+(?:_{_W}+)*                                              # words
    | [?!]{{2,}} | -{{5,}} | \*+ | _+ | \#\# | << | >> | &\#[0-9]+;
    | [#$%&()*+/<=>@\[\]\\^{{|}}~] | [{_SYMBOLS}]                # symbols
    """


@functools.cache
def _token() -> re.Pattern[str]:
    """`_TOKEN` compiled, which takes as long as a caption; captioning does not need it."""
    return re.compile(_TOKEN, re.VERBOSE | re.IGNORECASE)


_REWRITTEN: Final = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "£": "#", "€": "$", "¤": "$", "₠": "$", "\x80": "$", "¢": "cents",
    "¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3",
}  # fmt: skip
_ROUND: Final = re.compile(r"[()]")
_ENTITIES: Final = {
    "&amp;": "&", "&lt;": "< ", "&gt;": "> ", "&quot;": '"', "&apos;": "'", "&nbsp;": " ",
    "&mdash;": "--", "&ndash;": "--",
}  # fmt: skip
_ENTITY: Final = re.compile("|".join(_ENTITIES), re.IGNORECASE)
_TWO_WORDS: Final = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "wanna": ("wan", "na"),
    "gimme": ("gim", "me"),
    "lemme": ("lem", "me"),
}
_PLAIN: Final = re.compile(r"[A-Za-z ]*+(?:, [A-Za-z ]*+)*+\.?\s*")
"""Most captions: letters, commas, a full stop at the end. They need no rules, if that is no abbreviation."""
_STOPPED: Final = frozenset(f"{_ABBREVIATIONS} {_CAPITALISED}".lower().split())
_CLITIC_AFTER_SPACE: Final = re.compile(r" (?='(?:s|m|d|re|ve|ll)\b|n't\b)")


def tokenize(caption: str) -> list[str]:
    """Split a caption into lower-case words, without punctuation.

    Args:
        caption: one caption; line ends count as spaces.

    Returns:
        Its words: "A man's T.V. isn't on." -> a man 's t.v. is n't on.
    """
    if _PLAIN.fullmatch(caption):
        words = caption.lower().replace(",", " ").replace(".", " ").split()
        if not words or (len(words[-1]) > 1 and words[-1] not in _STOPPED):
            return words if _TWO_WORDS.keys().isdisjoint(words) else _split_assimilated(words)
    return _split_assimilated(_apply_rules(caption))


def _apply_rules(caption: str) -> list[str]:
    text = caption.replace("\u00ad", "")
    if "&" in text:
        text = _ENTITY.sub(lambda hit: _ENTITIES[hit[0].lower()], text)
    masked = text if text.isascii() else text.translate(_marks_as_letters())
    words: list[str] = []
    for match in _token().finditer(masked):
        word = text[match.start() : match.end()].lower().replace("\u2019", "'")
        if word in _REWRITTEN:
            words.append(_REWRITTEN[word])
        elif word not in PUNCTUATION:
            words.extend(_ROUND.sub(lambda hit: _REWRITTEN[hit[0]], word).split())
    return words


def _split_assimilated(words: list[str]) -> list[str]:
    return [part for word in words for part in _TWO_WORDS.get(word, (word,))]


def detokenize(words: Sequence[str]) -> str:
    """Join words as a person would write them: clitics to their word ("man 's" -> "man's")."""
    return _CLITIC_AFTER_SPACE.sub("", " ".join(words)).replace("can not", "cannot")
