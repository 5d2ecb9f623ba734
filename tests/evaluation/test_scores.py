from __future__ import annotations

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from showtell.data.tokenizer import tokenize
from showtell.errors import DataError
from showtell.evaluation.reliability import caption_labels
from showtell.evaluation.scores import (
    METRIC_DESCRIPTIONS,
    Confidence,
    compare_scores,
    compute_scores,
    format_score,
)

REFERENCES = {
    str(n): (
        f"A {color} {animal} runs on the {place}.",
        f"The {animal} is {color}!",
        f"a {place} with a {animal}",
    )
    for n, (color, animal, place) in enumerate(
        [(c, a, p) for c in ("black", "white") for a in ("dog", "horse", "bird") for p in ("grass", "beach")]
    )
}
CANDIDATES = {image: (captions[0].replace("runs", "stands with"),) for image, captions in REFERENCES.items()}


def test_scores_are_those_of_the_coco_evaluation() -> None:
    scores = compute_scores(CANDIDATES, REFERENCES, java=False).all_values
    texts = {i: [" ".join(tokenize(c)) for c in captions] for i, captions in REFERENCES.items()}
    candidates = {i: [" ".join(tokenize(captions[0]))] for i, captions in CANDIDATES.items()}
    bleu, _ = Bleu(4).compute_score(texts, candidates, verbose=0)
    assert [scores[f"BLEU-{n}"] for n in range(1, 5)] == pytest.approx(bleu, abs=1e-9)
    assert scores["ROUGE-L"] == pytest.approx(Rouge().compute_score(texts, candidates)[0], abs=1e-9)
    assert scores["CIDEr"] == pytest.approx(Cider().compute_score(texts, candidates)[0], abs=1e-9)


def test_an_empty_caption_is_a_bad_ending_by_definition() -> None:
    scores = compute_scores({"0": ("",), "1": ("a dog",)}, REFERENCES, java=False)
    assert scores.all_values["bad endings"] == 0.5
    assert "empty or end with" in METRIC_DESCRIPTIONS["bad endings"]


def test_what_scores_do_not_show() -> None:
    candidates = CANDIDATES | {"0": ("A black dog with a",)}
    known = [CANDIDATES["1"][0].upper(), CANDIDATES["2"][0]]
    scores = compute_scores(candidates, REFERENCES, training=known, java=False)
    assert scores.all_values["bad endings"] == pytest.approx(1 / 12)
    assert scores.all_values["novel"] == pytest.approx(10 / 12)
    assert scores.all_values["length"] == np.mean(
        [len(tokenize(captions[0])) for captions in candidates.values()]
    )
    assert scores.all_values["distinct words"] == len(
        {w for c in candidates.values() for w in tokenize(c[0])}
    )


def test_what_is_left_out_is_named() -> None:
    skipped_metrics = compute_scores(CANDIDATES, REFERENCES, java=False).skipped_metrics
    assert skipped_metrics.keys() == {"METEOR", "SPICE", "novel", "CHAIR", "self-BLEU, distinct-n"}


def test_objects_of_other_images_give_no_score() -> None:
    objects = dict.fromkeys(list(CANDIDATES)[1:], frozenset({"dog"}))
    scores = compute_scores(CANDIDATES, REFERENCES, objects=objects, java=False)
    assert scores.skipped_metrics["CHAIR"].startswith("the --instances file does not list 1 of the images")
    assert "CHAIRs" not in scores.statistics


def test_objects_and_diversity_join_the_table() -> None:
    several = {image: (*captions, "a dog", "a bird") for image, captions in CANDIDATES.items()}
    objects = {image: frozenset({"dog"}) for image in CANDIDATES}
    scores = compute_scores(several, REFERENCES, objects=objects, java=False)
    assert {"CHAIRs", "CHAIRi", "self-BLEU", "distinct-1", "distinct-2"} <= scores.statistics.keys()
    assert scores.all_values["CHAIRs"] == 0  # what people name is there
    assert set(METRIC_DESCRIPTIONS) <= scores.all_values.keys() | {
        "novel",
        "good",
        "ECE",
        "doubtful",
        "doubtful, bad",
    }


def test_nothing_to_measure() -> None:
    with pytest.raises(DataError, match="no captions"):
        compute_scores({}, REFERENCES)
    with pytest.raises(DataError, match="image x: captioned"):
        compute_scores({"x": ("a dog",)}, REFERENCES)


def test_two_models_are_compared_on_the_same_images() -> None:
    worse = dict.fromkeys(CANDIDATES, ("a cat",))
    first, second = (compute_scores(candidates, REFERENCES, java=False) for candidates in (CANDIDATES, worse))
    differences = compare_scores(first, second)
    assert differences["CIDEr"].value == pytest.approx(first.all_values["CIDEr"] - second.all_values["CIDEr"])
    assert differences["CIDEr"].p_value < 0.01
    assert differences["BLEU-4"].value == pytest.approx(
        first.all_values["BLEU-4"] - second.all_values["BLEU-4"]
    )
    fewer = compute_scores({"1": ("a dog",)}, REFERENCES, java=False)
    with pytest.raises(DataError, match="other images"):
        compare_scores(first, fewer)


MANY = {f"{image}-{copy}": captions for image, captions in REFERENCES.items() for copy in range(5)}


def test_whether_the_confidence_holds() -> None:
    candidates = {
        image: captions[0] if n % 3 else "a cat" for n, (image, captions) in enumerate(MANY.items())
    }
    random = np.random.default_rng(0)
    known = {image: Confidence(p := float(random.random()), p < 0.4) for image in candidates}
    captions = {image: (text,) for image, text in candidates.items()}
    scores = compute_scores(captions, MANY, java=False, confidences=known)
    good = caption_labels(
        [tokenize(text) for text in candidates.values()], [[tokenize(c) for c in MANY[i]] for i in candidates]
    ).tolist()
    assert 0 < sum(good) < len(good)
    values = scores.all_values
    assert values["good"] == pytest.approx(np.mean(good))
    doubtful = [is_good for is_good, one in zip(good, known.values(), strict=True) if one.doubtful]
    assert values["doubtful"] == pytest.approx(len(doubtful) / len(good))
    assert values["doubtful, bad"] == pytest.approx(doubtful.count(False) / len(doubtful))
    assert values["ECE"] > 0.1
    assert format_score(values["doubtful"], "doubtful") == f"{100 * len(doubtful) / len(good):.1f} %"
    right = {i: Confidence(float(is_good), None) for i, is_good in zip(candidates, good, strict=True)}
    sure = compute_scores(captions, MANY, java=False, confidences=right)
    assert sure.all_values["ECE"] == pytest.approx(0)
    assert "doubtful" not in sure.all_values
    assert sure.skipped_metrics["doubtful"] == "the model has no confidence threshold"
    certain = compute_scores(
        captions, MANY, java=False, confidences=dict.fromkeys(candidates, Confidence(1.0, False))
    )
    assert certain.all_values["doubtful"] == 0
    assert certain.skipped_metrics["doubtful, bad"] == "no caption is doubtful"


def test_why_a_confidence_is_not_measured() -> None:
    assert "confidence" not in compute_scores(CANDIDATES, REFERENCES, java=False).skipped_metrics
    of_none = compute_scores(CANDIDATES, REFERENCES, java=False, confidences={})
    assert of_none.skipped_metrics["confidence"] == "the model is not calibrated"
    few = compute_scores(
        CANDIDATES, REFERENCES, java=False, confidences=dict.fromkeys(CANDIDATES, Confidence(0.5, False))
    )
    assert "fewer than 50 images" in few.skipped_metrics["confidence"]
