"""Schemas: the options of a request, the parts of an answer, and the document of the interface."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from showtell.captioning.caption import Caption
from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.config import SearchConfig, ServingConfig
from showtell.serving.schemas import CaptionOptions, describe
from tests.serving.forms import files


def test_options_give_more_captions_words_and_attention(
    shared_client: TestClient, shared_captioner: Captioner, snippets: list[Path]
) -> None:
    config = SearchConfig(beam_size=4, num_captions=3)
    (expected,) = shared_captioner.caption(snippets[:1], config, attention=True)
    data = {"num_captions": "3", "beam_size": "4", "attention": "true"}
    (result,) = shared_client.post("/v1/captions", files=files(snippets[0]), data=data).json()["results"]
    assert [caption["text"] for caption in result["captions"]] == [caption.text for caption in expected]
    for answered, caption in zip(result["captions"], expected, strict=True):
        assert answered["log_probability"] == pytest.approx(caption.log_probability, abs=1e-5)
        assert [word["text"] for word in answered["words"]] == list(caption.words)
        assert caption.attention is not None
        for word, grid in zip(answered["words"], caption.attention, strict=True):
            assert sum(map(sum, word["attention"])) == pytest.approx(1, abs=1e-3)
            assert word["attention"] == pytest.approx(grid, abs=1e-4)


def test_doubtful_captions_are_marked(client: TestClient, captioner: Captioner, snippets: list[Path]) -> None:
    def answered() -> dict[str, object]:
        answer = client.post("/v1/captions", files=files(snippets[0])).json()
        return answer["results"][0]["captions"][0]  # type: ignore[no-any-return]

    assert (answered()["confidence"], answered()["doubtful"]) == (None, False)
    captioner.calibration = Calibration((0.0,) * 4, (0.0,) * 5, 0.6)
    assert (answered()["confidence"], answered()["doubtful"]) == (0.5, True)
    captioner.calibration = Calibration((0.0,) * 4, (0.0,) * 5, 0.4)
    assert answered()["doubtful"] is False
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["CaptionAnswer"]["properties"]["doubtful"]["type"] == "boolean"


def test_attention_is_left_out_unless_asked_for(shared_client: TestClient, snippets: list[Path]) -> None:
    (result,) = shared_client.post("/v1/captions", files=files(snippets[0])).json()["results"]
    assert {word["attention"] for word in result["captions"][0]["words"]} == {None}


def test_the_document_of_the_interface_has_an_example_that_works(shared_client: TestClient) -> None:
    document = shared_client.get("/openapi.json").json()
    content = document["paths"]["/v1/captions"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    for form in content.values():
        assert form["schema"]["properties"]["images"]["maxItems"] == ServingConfig().max_images
    response = shared_client.post("/v1/captions", json=content["application/json"]["schema"]["example"])
    assert response.status_code == 200
    assert len(response.json()["results"][0]["captions"]) == 2
    assert json.dumps(document).count("$ref") > 3


@pytest.mark.parametrize(
    ("options", "beam_size", "num_captions"),
    [
        ({}, SearchConfig().beam_size, 1),
        ({"num_captions": 7}, 7, 7),
        ({"num_captions": 2, "beam_size": 4}, 4, 2),
    ],
)
def test_the_beam_is_as_wide_as_the_captions_are_many(
    options: dict[str, int], beam_size: int, num_captions: int
) -> None:
    assert CaptionOptions(**options).search() == SearchConfig(beam_size=beam_size, num_captions=num_captions)


def test_a_caption_is_described_with_its_own_numbers() -> None:
    attention = np.full((2, 1, 2), 0.5, np.float32)
    caption = Caption("a cat", ("a", "cat"), (-0.5, 0.0, -0.25), attention, 0.25, (0.875, 0.5), True)
    plain, full = (describe(caption, attention=wanted) for wanted in (False, True))
    assert (plain.text, plain.confidence, plain.doubtful) == ("a cat", 0.25, True)
    assert plain.log_probability == pytest.approx(-0.75)
    assert [word.probability for word in plain.words] == pytest.approx([math.exp(-0.5), 1])
    assert [word.confidence for word in plain.words] == [0.875, 0.5]
    assert [word.attention for word in plain.words] == [None, None]
    assert [word.attention for word in full.words] == [[[0.5, 0.5]]] * 2


def test_rounding_makes_no_probability_above_one() -> None:
    (word,) = describe(Caption("a", ("a",), (1e-7, -1e-8)), attention=True).words
    assert (word.probability, word.confidence, word.attention) == (1, None, None)
    assert describe(Caption("a", ("a",), (1e-7, -1e-8)), attention=True).log_probability == 0
