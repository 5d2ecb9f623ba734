"""Scores agree with the reference, PTB tokenizer included."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from showtell.data.annotations import load_annotations
from showtell.errors import DataError
from showtell.evaluation.validation import describe_captions, score_captions


def test_a_perfect_caption() -> None:
    references = {"1": ["a dog runs on the grass"], "2": ["two cats sleep on a red sofa"]}
    scores = score_captions({image: captions[0] for image, captions in references.items()}, references)
    assert [scores[f"BLEU-{n}"] for n in range(1, 5)] == pytest.approx([1] * 4, abs=1e-6)
    assert scores["CIDEr"] == pytest.approx(10)


def test_bleu_by_hand() -> None:
    scores = score_captions({"1": "the dog sat"}, {"1": ["the dog sat down", "a dog sat there"]})
    assert scores["BLEU-1"] == pytest.approx(0.7165, abs=1e-3)  # all words right, brevity exp(1 - 4/3)


def test_nothing_to_compare() -> None:
    with pytest.raises(DataError, match="no captions"):
        score_captions({}, {})
    with pytest.raises(DataError, match="image 7"):
        score_captions({"7": "a dog"}, {"1": ["a dog"]})


def test_description_of_captions() -> None:
    described = describe_captions(["a dog runs", "a dog with a", "Dogs.", ""])
    assert described == {"words": 2.0, "vocabulary": 5.0, "bad_endings": 0.5}
    with pytest.raises(DataError, match="no captions"):
        describe_captions([])


@pytest.mark.skipif(shutil.which("java") is None, reason="the reference tokenizer needs Java")
def test_agrees_with_the_reference(shared_data: Path) -> None:
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    images = [i for i in load_annotations(shared_data / "flickr8k").images if i.split == "val"][:300]
    candidates = {image.image_id: image.captions[0] for image in images}
    wanted = {image.image_id: image.captions[1:] for image in images}
    tokenizer = PTBTokenizer()
    predictions = tokenizer.tokenize({image: [{"caption": c}] for image, c in candidates.items()})
    references = tokenizer.tokenize({image: [{"caption": c} for c in cs] for image, cs in wanted.items()})
    bleu, _ = Bleu(4).compute_score(references, predictions, verbose=0)
    cider, _ = Cider().compute_score(references, predictions)
    ours = score_captions(candidates, wanted)
    assert [ours[f"BLEU-{n}"] for n in range(1, 5)] == pytest.approx(bleu, abs=1e-6)
    assert ours["CIDEr"] == pytest.approx(cider, abs=1e-6)
