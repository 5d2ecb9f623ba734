"""Scenes: the same from either side, and every one equally likely."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings

from showtell.data.scenes import Scene, random_scene
from showtell.data.scenes.scene import COLOURS, RELATIONS, SHAPES, SIZES
from tests.data.scenes.strategies import RED_CIRCLE_OVER_BLUE_SQUARE, SCENES


def test_seen_from_the_other_object() -> None:
    swapped = RED_CIRCLE_OVER_BLUE_SQUARE.swapped()
    assert (swapped.first.shape, swapped.relation, swapped.second.shape) == ("square", "below", "circle")


@settings(max_examples=30)
@given(SCENES)
def test_seen_from_both_it_is_the_same(scene: Scene) -> None:
    assert scene.swapped() != scene
    assert scene.swapped().swapped() == scene


def test_random_scenes_are_spread_evenly_over_all_that_can_be_told_apart() -> None:
    rng, draws = random.Random(0), 4_000
    scenes = [random_scene(rng) for _ in range(draws)]
    assert all((s.first.shape, s.first.colour) != (s.second.shape, s.second.colour) for s in scenes)
    for values, name in ((SHAPES, "shape"), (COLOURS, "colour"), (SIZES, "size")):
        for place in ("first", "second"):
            counts = Counter(getattr(getattr(scene, place), name) for scene in scenes)
            mean = draws / len(values)
            assert set(counts) == set(values)
            assert all(abs(count - mean) < 5 * mean**0.5 for count in counts.values())
    relations = Counter(scene.relation for scene in scenes)
    assert all(abs(relations[relation] - draws / 4) < 5 * (draws / 4) ** 0.5 for relation in RELATIONS)
