"""Words of captions: those of the COCO evaluation, in every script."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.tokenizer import PUNCTUATION, detokenize, tokenize

# Captions and what Stanford's PTBTokenizer 3.4.1 makes of them (lower-cased, without the punctuation that the
# COCO evaluation takes out), written down from its output.
GOLDEN = {
    "A man, a dog; and two cats.": "a man a dog and two cats",
    "A cat pausing as it's photo is taken.": "a cat pausing as it 's photo is taken",
    "A man sitting on a toilet that isn't connected.": "a man sitting on a toilet that is n't connected",
    "You can't and won't, I'm sure we've said they'll.": (
        "you ca n't and wo n't i 'm sure we 've said they 'll"
    ),
    "The isn\u2019t of a man\u2019s hat": "the is n't of a man 's hat",
    "A view of a public men's' room": "a view of a public men 's room",
    "A five o'clock shadow": "a five o'clock shadow",
    "Ho'ohu and Pe'e roads": "ho'ohu and pe'e roads",
    "hors d'oeuvres": "hors d'oeuvres",
    "A boy slides on a Slip 'n' Slide .": "a boy slides on a slip 'n' slide",
    "one of 'em from the '80s and the 1950s": "one of 'em from the '80s and the 1950s",
    "A dog who cannot and is gonna, gotta, wanna": "a dog who can not and is gon na got ta wan na",
    "A flat screen T.V. ": "a flat screen t.v.",
    "an U.S.A flag, a D.V.D player": "an u.s.a flag a d.v.d player",
    "The corner of East St. and 12th Ave.": "the corner of east st. and 12th ave.",
    "Sunset Blvd. at the corner of Woodfield Rd.": "sunset blvd. at the corner of woodfield rd.",
    "Mr. Smith, Jr. of W. Centre st.": "mr. smith jr. of w. centre st.",
    "No. 5 is no.": "no. 5 is no",
    "a factory in KY.": "a factory in ky.",
    "parked in the ground.A middle aged person": "parked in the ground.a middle aged person",
    "A double-decker, black-and-white close-up": "a double-decker black-and-white close-up",
    "a half -eaten pizza - with cheese -- on it": "a half eaten pizza with cheese on it",
    "a tub/shower and schoolbus/boat/house": "a tub/shower and schoolbus/boat/house",
    "a clock that reads 11:44": "a clock that reads 11:44",
    "Bigelow.taken 11.01.2009 23:58.": "bigelow.taken 11.01.2009 23:58",
    "10-29-2011 at 12:30pm": "10-29-2011 at 12:30 pm",
    "50/50 of 1,000 men": "50/50 of 1,000 men",
    "The #41 bus, # 2": "the # 41 bus # 2",
    "$5.00 for 10% of it": "$ 5.00 for 10 % of it",
    "A hat & top, B&W": "a hat & top b&w",
    'a sign "stop" and " go "': "a sign stop and go",
    "2 people (a man) [sic]": "2 people -lrb- a man -rrb- -lsb- sic -rsb-",
    "RIF=ding sleds": "rif = ding sleds",
    "avrovulcan.com sign": "avrovulcan.com sign",
    "A jalapeño at a café": "a jalapeño at a café",
    "Is it? Wow! ... yes": "is it wow yes",
    "line\nends\tand  spaces ": "line ends and spaces",
    " ": "",
}


# The same of other scripts: marks belong to the letter before them.
SCRIPTS = {
    "कुत्ता घास पर दौड़ रहा है।": "कुत्ता घास पर दौड़ रहा है ।",
    "क़लम और १२ फ़ोटो": "क़लम और १२ फ़ोटो",
    "द्वि-चक्रिका साइकिल": "द्वि चक्रिका साइकिल",
    "একটি কুকুর ঘাসের উপর দৌড়াচ্ছে।": "একটি কুকুর ঘাসের উপর দৌড়াচ্ছে ।",
    "ஒரு நாய் புல்லில் ஓடுகிறது.": "ஒரு நாய் புல்லில் ஓடுகிறது",
    "హరిత గడ్డిపై ఒక కుక్క": "హరిత గడ్డిపై ఒక కుక్క",
    "અેક કૂતરો ઘાસ પર": "અેક કૂતરો ઘાસ પર",
    "หมา กำลัง วิ่ง ๆ บน หญ้า": "หมา กำลัง วิ่ง ๆ บน หญ้า",
    "كَلْبٌ يَجْرِي عَلَى العُشْبِ": "كَلْبٌ يَجْرِي عَلَى العُشْبِ",
    "كلب يجري، ثم يقف؟": "كلب يجري ، ثم يقف ؟",
    "می\u200cرود سگ": "می رود سگ",
    "כֶּלֶב רָץ עַל הַדֶּשֶׁא": "כֶּלֶב רָץ עַל הַדֶּשֶׁא",
    "con cho\u0301 đang cha\u0323y": "con cho\u0301 đang cha\u0323y",
    "cafe\u0301-bar": "cafe\u0301 bar",
    "一只狗在草地上跑。": "一只狗在草地上跑 。",
    "コーヒー・カップ": "コーヒー ・ カップ",
    "개가 잔디 위를 달린다.": "개가 잔디 위를 달린다",
    "ein Hund ❤️ läuft «schnell»": "ein hund ❤ läuft schnell",
}


@pytest.mark.parametrize(("caption", "words"), SCRIPTS.items(), ids=range(len(SCRIPTS)))
def test_marks_belong_to_their_letters(caption: str, words: str) -> None:
    assert tokenize(caption) == words.split()


# The PTB tokenizer drops the vowel signs of these, and breaks the words where they stood.
@pytest.mark.parametrize("word", ["ಒಂದು", "ගොරකා", "ஸ்ரீ", "ഓടുന്നു", "ਕੁੱਤਾ", "ខ្ញុំ", "ကျွန်တော်", "ଘାସ", "ላም"])
def test_words_of_scripts_that_the_java_tokenizer_breaks_stay_whole(word: str) -> None:
    assert tokenize(f"dog {word}, {word}.") == ["dog", word, word]


@given(st.text(st.characters(categories=["Lo", "Mn", "Mc"], min_codepoint=0x900, max_codepoint=0x1100)))
def test_no_word_is_broken_at_a_mark(word: str) -> None:
    assert tokenize(f"a {word} b") == ["a", *([word] if word else []), "b"]


@pytest.mark.parametrize(("caption", "words"), GOLDEN.items(), ids=range(len(GOLDEN)))
def test_words_are_those_of_the_coco_evaluation(caption: str, words: str) -> None:
    assert tokenize(caption) == words.split()


def java_words(captions: list[str]) -> list[list[str]]:
    """Words as the scorers of the evaluation see them: its tokens, split at spaces (hard ones included)."""
    if shutil.which("java") is None:
        pytest.skip("needs java, to run the tokenizer of the COCO evaluation")
    tokenizer = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer").PTBTokenizer()
    tokens = tokenizer.tokenize({i: [{"caption": caption}] for i, caption in enumerate(captions)})
    return [tokens[i][0].split() for i in range(len(captions))]


def real_captions(shared_data: Path) -> list[str]:
    """The captions of COCO's validation split and of Flickr8k."""
    try:
        coco = (shared_data / "coco-annotations" / "captions_val2017.json").read_text(encoding="utf-8")
        flickr = (shared_data / "flickr8k" / "Flickr8k.token.txt").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        pytest.skip(f"needs {error.filename}")
    captions = [annotation["caption"] for annotation in json.loads(coco)["annotations"]]
    return captions + [line.split("\t")[1] for line in flickr.splitlines()]


def test_other_scripts_agree_with_the_java_tokenizer() -> None:
    assert [tokenize(caption) for caption in SCRIPTS] == java_words(list(SCRIPTS))


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_real_captions_agree_with_the_java_tokenizer(step: int, shared_data: Path) -> None:
    captions = real_captions(shared_data)[::step]
    differ = [
        caption
        for caption, expected in zip(captions, java_words(captions), strict=True)
        if [part for word in tokenize(caption) for part in word.split()] != expected
    ]
    assert len(captions) > 60_000 / step
    assert len(differ) <= len(captions) * 0.0004, differ[:20]


@given(st.text())
def test_words_are_lower_case_and_no_punctuation(caption: str) -> None:
    words = tokenize(caption)
    assert all(words)
    assert not PUNCTUATION.intersection(words)
    assert words == [word.lower() for word in words]


@given(st.text(st.sampled_from("aB z9 .,'-/&$<>()\n")))
def test_words_hold_no_plain_space(caption: str) -> None:
    assert not any(" " in word or "\n" in word for word in tokenize(caption))


plain = st.text(ascii_lowercase, min_size=2, max_size=8)
ordinary = plain | st.builds("{}-{}".format, plain, plain)


@given(st.lists(ordinary | st.sampled_from(["'s", "n't", "'re", "12:30", "50/50", "t.v.", "1950s", "&"])))
def test_words_joined_give_the_same_words(parts: list[str]) -> None:
    once = tokenize(" ".join(parts))
    assert tokenize(" ".join(once)) == once


@given(st.lists(ordinary, min_size=1))
def test_case_and_a_full_stop_do_not_matter(parts: list[str]) -> None:
    sentence = " ".join([*parts, "dog"])
    assert tokenize(f"{sentence.upper()}.") == tokenize(sentence)


def test_no_caption_names_a_special_token() -> None:
    assert not {"<pad>", "<start>", "<end>", "<unk>"}.intersection(tokenize("<pad> a <start><end> <UNK>."))


@pytest.mark.parametrize(
    ("words", "caption"),
    [
        ("a man 's dog", "a man's dog"),
        ("it is n't what they 're for", "it isn't what they're for"),
        ("a dog who can not swim", "a dog who cannot swim"),
        ("a close-up of a t.v.", "a close-up of a t.v."),
        ("", ""),
    ],
)
def test_detokenize_writes_as_people_do(words: str, caption: str) -> None:
    assert detokenize(words.split()) == caption


@given(st.lists(ordinary | st.sampled_from(["man 's", "is n't", "they 're", "i 'm"]), max_size=8))
def test_detokenized_words_tokenize_to_themselves(parts: list[str]) -> None:
    words = tokenize(" ".join(parts))
    assert tokenize(detokenize(words)) == words


@pytest.mark.parametrize("unit", ["a-", "a/", "a.", "n'", "1 ", "<a", "(", "a@"])
def test_long_nonsense_is_no_trap(unit: str) -> None:
    tokenize(unit * 2000 + "\0")
