"""Captions of scenes: all different, all in few words, from either side."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings

from showtell.data.scenes import Scene, random_scene, scene_captions
from showtell.data.scenes.scene import Relation
from showtell.errors import UsageError
from tests.data.scenes.strategies import RED_CIRCLE_OVER_BLUE_SQUARE, SCENES, SEEDS


@pytest.mark.parametrize("count", [0, 21])
def test_impossible_numbers_of_captions_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 20 captions"):
        scene_captions(RED_CIRCLE_OVER_BLUE_SQUARE, random.Random(0), count)


def test_captions_have_36_words() -> None:
    words: set[str] = set()
    for seed in range(200):
        rng = random.Random(seed)
        words.update(*(caption.split() for caption in scene_captions(random_scene(rng), rng)))
    assert len(words) == 36


@settings(max_examples=30)
@given(SCENES, SEEDS)
def test_captions_differ_and_name_both_objects(scene: Scene, seed: int) -> None:
    captions = scene_captions(scene, random.Random(seed), 20)
    assert len(set(captions)) == 20
    for caption in captions:
        for thing in (scene.first, scene.second):
            assert f"{thing.colour} {thing.shape}" in caption
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", caption)
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", caption)


@pytest.mark.parametrize(
    ("relation", "phrases"),
    [("left", "left of"), ("right", "right of"), ("above", "above|over"), ("below", "below|under")],
)
def test_the_relation_is_that_of_the_first_object_to_the_second(relation: Relation, phrases: str) -> None:
    """A sentence that begins with the first object: it, the relation, the second."""
    scene = replace(RED_CIRCLE_OVER_BLUE_SQUARE, relation=relation)
    pattern = rf"(a|the) (small )?red circle (is |sits )?(to the )?({phrases}) (a|the) (large )?blue square"
    captions = scene_captions(scene, random.Random(0), 20)
    assert len([caption for caption in captions if re.fullmatch(pattern, caption)]) == 3
