"""The one tokenizer: the words that the COCO evaluation sees, in Python.

Captions are compared after Stanford's PTBTokenizer (Java; Penn Treebank rules), lower-cased, without
punctuation (`pycocoevalcap.tokenizer`). These are its rules, written from what it answers; training and
metrics use the same words. One difference is meant: "<pad>" is no token, so that no caption can name a
special token of the vocabulary.
"""

from __future__ import annotations

import re
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


_NUMERALS = "0-9\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u2089\u2150-\u2bff"
_L = rf"(?:[^\W_{_NUMERALS}]|[\u0300-\u036f])"  # a letter
_W = rf"(?:[^\W_{_NUMERALS}]|[0-9\u0300-\u036f])"  # a letter or digit
_Q = "['\u2019]"  # an apostrophe
_CLITIC = rf"(?<!{_Q}){_Q}(?:s|d|m|ll|re|ve)(?!{_L})"
_NOT = "n['\u2019\u2018`]t"
_ELIDED = rf"[dlno]{_Q}{_L}{{2,}}"
_VOWELS = rf"{_L}+[aeiouy]{_Q}[aeiou]{_L}*"
_SLASHED = rf"{_W}+(?:-{_L}+){{0,2}}"
_HYPHENATED = rf"(?:{_ELIDED}|{_L}(?:\.{_L})+\.|{_W}+(?:_{_W}+)*)"

# The first rule that fits makes the token; what fits none is dropped: space, quotes, full stops, dashes.
_TOKEN: Final = re.compile(
    rf"""
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
    | {_SLASHED}(?:/{_SLASHED}){{1,2}}                              # and/or
    | \([0-9]{{3}}\)\s?[0-9]{{3}}[-\s][0-9]{{4}}                    # (650) 555-1234
    | [0-9]+[ -][0-9]+/[0-9]+                                       # 22 3/4
    | {_W}(?:{_W}|[.,]|_(?={_W})){{0,50}}(?:-{_HYPHENATED})+               # close-up, U.S.-based
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
    | [#$%&()*+/<=>@\[\]\\^{{|}}~] | [\u00a1-\u2bff]                # symbols
    """,
    re.VERBOSE | re.IGNORECASE,
)
_REWRITTEN: Final = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "£": "#", "€": "$", "¢": "cents", "¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3",
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
        text = _ENTITY.sub(lambda found: _ENTITIES[found[0].lower()], text)
    words: list[str] = []
    for token in _TOKEN.findall(text):
        word = token.lower().replace("\u2019", "'")
        if word in _REWRITTEN:
            words.append(_REWRITTEN[word])
        elif word not in PUNCTUATION:
            words.extend(_ROUND.sub(lambda found: _REWRITTEN[found[0]], word).split())
    return words


def _split_assimilated(words: list[str]) -> list[str]:
    return [part for word in words for part in _TWO_WORDS.get(word, (word,))]


def detokenize(words: Sequence[str]) -> str:
    """Join words as a person would write them: clitics to their word ("man 's" -> "man's")."""
    return _CLITIC_AFTER_SPACE.sub("", " ".join(words)).replace("can not", "cannot")
