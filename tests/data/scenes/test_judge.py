"""Captions are compared with a scene: what is right and what is wrong of it."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.scenes import Scene, judge_caption, scene_captions
from showtell.data.scenes.scene import COLOURS, INVERSE, SHAPES
from tests.data.scenes.strategies import RED_CIRCLE_OVER_BLUE_SQUARE, SCENES, SEEDS


@settings(max_examples=30)
@given(SCENES, SEEDS)
def test_captions_of_a_scene_are_judged_right(scene: Scene, seed: int) -> None:
    for caption in scene_captions(scene, random.Random(seed)):
        for same in (scene, scene.swapped()):
            judgement = judge_caption(caption, same)
            assert judgement.all_right
            assert judgement.sizes


@settings(max_examples=30)
@given(SCENES, SCENES, SEEDS)
def test_captions_of_another_scene_are_judged_wrong(scene: Scene, other: Scene, seed: int) -> None:
    def gist(scene: Scene) -> tuple[object, ...]:
        first, second = scene.first, scene.second
        return (first.shape, first.colour, second.shape, second.colour, scene.relation)

    same = gist(other) in (gist(scene), gist(scene.swapped()))
    for caption in scene_captions(other, random.Random(seed), count=20):
        assert judge_caption(caption, scene).all_right == same


@settings(max_examples=30)
@given(SCENES, st.sampled_from(SHAPES), st.sampled_from(COLOURS), SEEDS)
def test_one_wrong_word_is_named(scene: Scene, shape: str, colour: str, seed: int) -> None:
    """Captions of a scene changed in one thing are wrong of the old scene in that thing alone."""
    first, second, rng = scene.first, scene.second, random.Random(seed)
    if len({first.shape, second.shape, shape}) == 3:
        (caption,) = scene_captions(replace(scene, first=replace(first, shape=shape)), rng, 1)
        judgement = judge_caption(caption, scene)
        assert not judgement.objects
        if first.colour != second.colour:
            assert (judgement.colours, judgement.relation) == (True, True)
    if len({first.colour, second.colour, colour}) == 3:
        (caption,) = scene_captions(replace(scene, first=replace(first, colour=colour)), rng, 1)
        judgement = judge_caption(caption, scene)
        assert (judgement.objects, judgement.colours) == (True, False)
    (caption,) = scene_captions(replace(scene, relation=INVERSE[scene.relation]), rng, 1)
    judgement = judge_caption(caption, scene)
    assert (judgement.objects, judgement.colours, judgement.relation) == (True, True, False)


@pytest.mark.parametrize(
    ("caption", "right"),  # right: objects, colours, relation, sizes
    [
        ("a small red circle above a large blue square", (1, 1, 1, 1)),
        ("there is a blue square below a red circle", (1, 1, 1, 1)),
        ("  A Blue square, with the red circle over it. ", (1, 1, 1, 1)),
        ("under the red circle is a blue square", (1, 1, 1, 1)),
        ("a large red circle above a blue square", (1, 1, 1, 0)),
        ("a blue circle above a red square", (1, 0, 1, 1)),
        ("a blue square above a red circle", (1, 1, 0, 1)),
        ("a red circle to the left of a blue square", (1, 1, 0, 1)),
        ("a red star above a blue square", (0, 1, 1, 1)),
        ("a red circle above a green square", (1, 0, 1, 1)),
        ("a red circle above a red circle", (0, 0, 1, 1)),
        ("a red circle above a", (0, 0, 0, 0)),
        ("a red circle above a blue square above a red circle", (0, 0, 0, 0)),
        ("there is a red circle is above a blue square", (0, 0, 0, 0)),
        ("red circle blue square above", (0, 0, 0, 0)),
        ("a red circle above a <unk> square", (0, 0, 0, 0)),
        ("a circle above a square", (0, 0, 0, 0)),
        ("a dog runs through the snow", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_judge_by_hand(caption: str, right: tuple[int, ...]) -> None:
    judged = judge_caption(caption, RED_CIRCLE_OVER_BLUE_SQUARE)
    assert (judged.objects, judged.colours, judged.relation, judged.sizes) == tuple(map(bool, right))
    assert judged.all_right == all(right[:3])


words = st.sampled_from(["a", "the", "red", "blue", "circle", "square", "above", "of", "left", "is"])


@given(st.text() | st.lists(words).map(" ".join))
def test_judge_takes_any_text(caption: str) -> None:
    judge_caption(caption, RED_CIRCLE_OVER_BLUE_SQUARE)
