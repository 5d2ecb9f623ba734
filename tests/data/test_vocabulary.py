"""Vocabularies: which words are kept, their order, ids and files."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.tokenizer import tokenize
from showtell.data.vocabulary import (
    _UNPRINTABLE,
    SPECIALS,
    Vocabulary,
    build_vocab,
    choose_min_count,
    count_words,
)
from showtell.errors import CheckpointError, ConfigError

CAPTIONS = ["A dog runs.", "A dog sits", "a cat sits", "The dog's cat"]

plain_words = st.text("bcdg", min_size=2, max_size=4)
captions = st.lists(st.lists(plain_words, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=8)


def test_special_tokens_come_first() -> None:
    vocabulary = build_vocab(CAPTIONS, min_count=1)
    ids = (vocabulary.pad_id, vocabulary.start_id, vocabulary.end_id, vocabulary.unk_id)
    assert ids == (0, 1, 2, 3)
    assert tuple(map(vocabulary.word, ids)) == SPECIALS == ("<pad>", "<start>", "<end>", "<unk>")


def test_words_by_count_then_by_the_alphabet() -> None:
    assert build_vocab(CAPTIONS, min_count=1).words == ("a", "dog", "cat", "sits", "'s", "runs", "the")


def test_rare_words_are_dropped() -> None:
    vocabulary = build_vocab(CAPTIONS, min_count=2)
    assert vocabulary.words == ("a", "dog", "cat", "sits")
    assert len(vocabulary) == 8
    assert "dog" in vocabulary
    assert "runs" not in vocabulary
    assert vocabulary.id("runs") == vocabulary.unk_id


def test_max_size_keeps_the_most_frequent() -> None:
    assert build_vocab(CAPTIONS, min_count=1, max_size=2).words == ("a", "dog")


def test_no_word_left_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"min_count = 9 .*at most 3"):
        build_vocab(CAPTIONS, min_count=9)
    with pytest.raises(ConfigError):
        build_vocab([])


def test_encode_and_decode() -> None:
    vocabulary = build_vocab(CAPTIONS, min_count=2)
    ids = vocabulary.encode("A dog barks.")
    assert ids == [vocabulary.start_id, vocabulary.id("a"), vocabulary.id("dog"), vocabulary.unk_id, 2]
    assert vocabulary.decode(ids)[:2] == ["a", "dog"]
    assert vocabulary.encode("A dog barks.", max_length=1) == [1, vocabulary.id("a"), 2]
    assert vocabulary.encode("") == [1, 2]


def test_decode_stops_at_the_first_end() -> None:
    vocabulary = build_vocab(CAPTIONS, min_count=1)
    dog, cat = vocabulary.id("dog"), vocabulary.id("cat")
    assert vocabulary.decode([0, 1, dog, 2, cat, 2, 0]) == ["dog"]


@pytest.mark.parametrize("wrong", [-1, 99])
def test_an_id_out_of_range_is_an_error(wrong: int) -> None:
    with pytest.raises(IndexError, match=str(wrong)):
        build_vocab(CAPTIONS, min_count=1).word(wrong)


def test_a_caption_cannot_name_special_tokens() -> None:
    naughty = ["<pad> a dog <start> <end> <unk> <PAD>"] * 9
    vocabulary = build_vocab(naughty, min_count=1)
    assert not set(SPECIALS).intersection(vocabulary.words)
    assert len(set(vocabulary.words)) == len(vocabulary.words)
    inner = vocabulary.encode(naughty[0])[1:-1]
    assert not {0, 1, 2}.intersection(inner)
    for special in SPECIALS:
        assert special not in vocabulary
        assert vocabulary.id(special) == vocabulary.unk_id


@pytest.mark.parametrize("words", [["dog", "dog"], ["<pad>"]])
def test_words_come_once_and_are_no_special_tokens(words: list[str]) -> None:
    with pytest.raises(ValueError, match="comes twice"):
        Vocabulary(words)


@given(captions)
def test_round_trip(texts: list[str]) -> None:
    vocabulary = build_vocab(texts, min_count=1)
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == tokenize(text)
    for word in vocabulary.words:
        assert vocabulary.word(vocabulary.id(word)) == word


@given(captions)
def test_order_of_captions_does_not_matter(texts: list[str]) -> None:
    one, two = build_vocab(texts, min_count=1), build_vocab(sorted(texts)[::-1], min_count=1)
    assert one == two
    assert hash(one) == hash(two)
    assert one.fingerprint == two.fingerprint
    assert one.to_json() == two.to_json()


@given(captions, st.integers(1, 4))
def test_kept_words_are_exactly_the_frequent_ones(texts: list[str], min_count: int) -> None:
    counts = Counter(word for text in texts for word in text.split())
    assert count_words(texts) == counts
    frequent = {word for word, count in counts.items() if count >= min_count}
    if frequent:
        assert set(build_vocab(texts, min_count).words) == frequent


def can_be_a_word(text: str) -> bool:
    """Tokenizers give no special token, and none that a file of a vocabulary may not hold."""
    return text not in SPECIALS and not _UNPRINTABLE.search(text)


@given(st.lists(st.text(min_size=1).filter(can_be_a_word), unique=True, min_size=1))
def test_json_round_trip(words: list[str]) -> None:
    vocabulary = Vocabulary(words)
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary
    assert again.fingerprint == vocabulary.fingerprint


def test_other_words_or_order_have_another_fingerprint() -> None:
    prints = {Vocabulary(words).fingerprint for words in (["a", "b"], ["b", "a"], ["a"], ["ab"])}
    assert len(prints) == 4
    assert Vocabulary(["a", "b"]) != Vocabulary(["b", "a"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"words": null}',
        '{"words": 3}',
        '{"words": ["a", "a"]}',
        '{"words": ["<pad>"]}',
    ],
)
def test_malformed_json_is_an_error(text: str) -> None:
    with pytest.raises(CheckpointError, match="vocabulary"):
        Vocabulary.from_json(text)


@given(
    st.lists(st.text("abc", min_size=1), unique=True, max_size=10),
    st.lists(st.text("abc", min_size=1), max_size=10),
)
def test_an_extended_vocabulary_keeps_its_ids(words: list[str], more: list[str]) -> None:
    known = Vocabulary(words)
    extended = known.extended(more)
    assert extended.words[: len(words)] == tuple(words)
    assert set(extended.words) == {*words, *more}
    assert len(extended.words) == len(set(extended.words))
    assert extended.extended(more) is extended


@pytest.mark.parametrize(
    ("captions", "least"), [(1, 1), (999, 1), (1_000, 2), (5_000, 3), (19_999, 3), (20_000, 5), (600_000, 5)]
)
def test_words_of_few_captions_need_less(captions: int, least: int) -> None:
    assert choose_min_count(captions) == least
