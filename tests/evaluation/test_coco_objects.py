"""The COCO objects that captions name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.tokenizer import tokenize
from showtell.evaluation.coco_objects import mentioned_objects


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("Two men and their puppies on a couch.", ["person", "dog", "couch"]),
        ("A hot dog beside a teddy bear", ["hot dog", "teddy bear"]),
        ("hot dogs and dogs", ["hot dog", "dog"]),
        ("The train tracks at a train station", []),
        ("a train on the tracks", ["train"]),
        ("a boy with a baseball bat slides to home plate", ["person", "baseball bat"]),
        ("a woman in an orange shirt eats an orange", ["person", "orange"]),
        ("knives, boxes and buses", ["knife", "bus"]),
        ("A person's cell phone is on the dining table", ["person", "cell phone", "dining table"]),
        ("ladies playing with mice", ["person", "mouse"]),
        ("", []),
    ],
)
def test_objects_that_captions_name(caption: str, objects: list[str]) -> None:
    assert mentioned_objects(tokenize(caption)) == objects


KINDS = ["person", "traffic light", "sheep", "knife", "couch", "hair drier", "dining table", "bus"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_names_itself(kind: str) -> None:
    assert mentioned_objects(kind.split()) == [kind]


@settings(max_examples=40)
@given(st.lists(st.sampled_from([*KINDS, "grass", "a", "of", "train station"]), max_size=6))
def test_objects_come_in_their_order_and_as_often_as_they_are_named(names: list[str]) -> None:
    words = [word for name in names for word in [*name.split(), "and"]]
    assert mentioned_objects(words) == [name for name in names if name in KINDS]
