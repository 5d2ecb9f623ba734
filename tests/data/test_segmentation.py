"""Scripts without spaces: each character is a word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.segmentation import segment, unsegmented_length
from showtell.data.tokenizer import tokenize


@pytest.mark.parametrize(
    ("caption", "segmented"),
    [
        ("一只狗在草地上跑。", "一 只 狗 在 草 地 上 跑 。"),
        ("犬がコーヒーを飲む", "犬 が コ ー ヒ ー を 飲 む"),
        ("หมาวิ่ง", "ห ม า วิ่ ง"),
        ("中文, English混合text", "中 文 , English 混 合 text"),
        ("ein Hund läuft", "ein Hund läuft"),
        ("कुत्ता दौड़", "कुत्ता दौड़"),
        ("ខ្ញុំ", "ខ្ ញុំ"),
        ("개가 달린다", "개가 달린다"),
        ("", ""),
    ],
)
def test_characters_of_scripts_without_spaces_become_words(caption: str, segmented: str) -> None:
    assert segment(caption) == segmented


@given(st.text(st.characters(categories=["L", "M", "Zs", "Po"])))
def test_it_changes_nothing_but_spaces_and_only_once(caption: str) -> None:
    once = segment(caption)
    assert "".join(once.split()) == "".join(caption.split())
    assert segment(once) == once


@given(st.lists(st.sampled_from("狗猫草地上跑在一只"), min_size=1))
def test_each_character_is_a_token(characters: list[str]) -> None:
    assert tokenize(segment("".join(characters))) == characters


@pytest.mark.parametrize(
    ("captions", "noticed"),
    [
        (["一个男人在厨房里做饭", "两个孩子在海滩上奔跑"], True),
        (["หมาวิ่งบนสนามหญ้าสีเขียว"], True),
        (["犬が草の上を走っている"], True),
        (["一个 男人 在 厨房 里 做饭"], False),
        (["หมา กำลัง วิ่ง บน หญ้า"], False),
        (["a dog runs", "rindfleischetikettierung"], False),
        ([], False),
    ],
)
def test_captions_without_spaces_are_noticed(captions: list[str], noticed: bool) -> None:
    assert (unsegmented_length(captions) > 0) == noticed
