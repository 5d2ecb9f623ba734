"""The words that a model knows."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from showtell.data.tokenizer import tokenize
from showtell.errors import CheckpointError, ConfigError

SPECIALS: Final = ("<pad>", "<start>", "<end>", "<unk>")
"""Tokens that are not words; their ids are 0 to 3. The tokenizer never makes them of a caption."""
DEFAULT_MIN_COUNT: Final = 5
_MIN_COUNTS: Final = ((1_000, 1), (5_000, 2), (20_000, 3))
"""Below so many training captions -> the least count of a word."""


MAX_WORDS: Final = 500_000
"""Words of a vocabulary that is read from a file, at most."""
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Vocabulary:
    """Words and their ids; it never changes.

    Args:
        words: without the special tokens, each once; word i has the id i + 4.

    Raises:
        ValueError: a word comes twice or is a special token.
    """

    pad_id: Final = 0
    start_id: Final = 1
    end_id: Final = 2
    unk_id: Final = 3

    def __init__(self, words: Sequence[str]) -> None:
        self._words = (*SPECIALS, *words)
        self._ids = {word: i for i, word in enumerate(self._words)}
        if len(self._ids) != len(self._words):
            twice = next(word for word, count in Counter(self._words).items() if count > 1)
            raise ValueError(f"{twice!r} comes twice in the vocabulary")

    def __len__(self) -> int:
        """Number of ids, special tokens included."""
        return len(self._words)

    def __contains__(self, word: object) -> bool:
        """Whether it is a word (special tokens are not)."""
        return word in self._ids and word not in SPECIALS

    def __eq__(self, other: object) -> bool:
        """Same words, same ids."""
        return isinstance(other, Vocabulary) and self._words == other._words

    def __hash__(self) -> int:
        """Agrees with equality."""
        return hash(self._words)

    def __repr__(self) -> str:
        """Its size and first words."""
        return f"Vocabulary({len(self._words) - len(SPECIALS)} words: {' '.join(self.words[:5])} ...)"

    @property
    def words(self) -> tuple[str, ...]:
        """The words without the special tokens, most frequent first."""
        return self._words[len(SPECIALS) :]

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the words in their order."""
        return hashlib.sha256("\n".join(self._words).encode()).hexdigest()

    def extended(self, words: Iterable[str]) -> Vocabulary:
        """These words with their ids, and after them those of `words` that are new, in their order."""
        new = dict.fromkeys(word for word in words if word not in self)
        return Vocabulary([*self.words, *new]) if new else self

    def id(self, word: str) -> int:
        """The id of a word; `unk_id` if it is not known."""
        return self._ids[word] if word in self else self.unk_id

    def word(self, token: int) -> str:
        """The word (or special token) of an id.

        Raises:
            IndexError: no word has this id.
        """
        if not 0 <= token < len(self._words):
            raise IndexError(f"token id {token} is not in a vocabulary of {len(self._words)}")
        return self._words[token]

    def encode(self, caption: str, max_length: int | None = None) -> list[int]:
        """Ids of a caption's words between `start_id` and `end_id`.

        Args:
            caption: as written; it is tokenized.
            max_length: keep this many words at most.
        """
        words = tokenize(caption)[:max_length]
        return [self.start_id, *map(self.id, words), self.end_id]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Words up to the first `<end>`; `<pad>` and `<start>` are left out."""
        words = []
        for token in ids:
            if token == self.end_id:
                break
            if token not in (self.pad_id, self.start_id):
                words.append(self.word(token))
        return words

    def to_json(self) -> str:
        """The words as JSON text, the same for equal vocabularies."""
        return json.dumps({"words": self.words}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Read what `to_json` wrote.

        Raises:
            CheckpointError: it is something else.
        """
        try:
            words = json.loads(text)
            return cls.from_words(words.get("words") if isinstance(words, dict) else None)
        except (ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(f"not a vocabulary of showtell ({error})") from error

    @classmethod
    def from_words(cls, words: object) -> Vocabulary:
        """The vocabulary of a list of words that a file holds.

        Raises:
            ValueError: it is something else, too long, or holds what no tokenizer gives: control characters,
                line breaks, bytes that are no text.
        """
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise ValueError("no list of words")
        if len(words) > MAX_WORDS:
            raise ValueError(f"more than {MAX_WORDS:,} words")
        if odd := next((word for word in words if _UNPRINTABLE.search(word)), None):
            raise ValueError(f"{odd[:40]!a} is no word")
        return cls(words)


def count_words(captions: Iterable[str]) -> Counter[str]:
    """How often each word comes in the captions."""
    return Counter(word for caption in captions for word in tokenize(caption))


def choose_min_count(captions: int) -> int:
    """The least count of a word in so many training captions that earns it a place in the vocabulary.

    Of few captions nearly all words are rare: with a threshold for many, most would be unknown.
    """
    return next((least for below, least in _MIN_COUNTS if captions < below), DEFAULT_MIN_COUNT)


def build_vocab(captions: Iterable[str], min_count: int = 5, max_size: int | None = None) -> Vocabulary:
    """Tokenize captions, count their words and keep the frequent ones.

    Args:
        captions: as written.
        min_count: words seen fewer times are dropped; they will be `<unk>`.
        max_size: keep this many words at most, the most frequent ones.

    Returns:
        The vocabulary, most frequent words first, then by the alphabet: the same for any order of captions.

    Raises:
        ConfigError: no word is seen `min_count` times.
    """
    counts = count_words(captions)
    kept = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
    if not kept:
        most = max(counts.values(), default=0)
        raise ConfigError(f"no word is seen data.min_count = {min_count} times (at most {most}); lower it")
    return Vocabulary(kept[:max_size])
