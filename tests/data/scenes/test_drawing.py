"""Drawn scenes: objects of the right size, place and shape, by the seed alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage

from showtell.data.scenes import Scene, SceneObject, draw_scene, drawing, random_scene
from showtell.data.scenes.drawing import DIAMETERS, RGB
from showtell.data.scenes.scene import SHAPES
from tests.data.scenes.strategies import SCENES, SEEDS


def blob(image: np.ndarray, colour: str) -> np.ndarray:
    """The largest connected patch of pixels nearest to a fill colour (white: the background)."""
    fills = np.array([*RGB.values(), (255, 255, 255)], dtype=int)
    nearest = ((image[:, :, None].astype(int) - fills) ** 2).sum(-1).argmin(-1)
    patches, _ = ndimage.label(nearest == list(RGB).index(colour))
    return patches == np.bincount(patches.ravel())[1:].argmax() + 1


@settings(max_examples=15)
@given(SCENES.filter(lambda scene: scene.first.colour != scene.second.colour), SEEDS)
def test_objects_stand_in_their_relation_and_have_their_size(scene: Scene, seed: int) -> None:
    image = np.asarray(draw_scene(scene, random.Random(seed)))
    boxes = {}
    for name, thing in (("first", scene.first), ("second", scene.second)):
        ys, xs = np.nonzero(blob(image, thing.colour))
        least, most = DIAMETERS[thing.size]
        across = max(np.ptp(xs), np.ptp(ys)) + 1
        # The dark rim and anti-aliased tips may count as other colours.
        assert least - 9 <= across <= most + 2
        assert min(xs.min(), ys.min()) >= 5
        assert max(xs.max(), ys.max()) <= 218  # whole, not cut by the image's edge
        boxes[name] = (xs.min(), xs.max(), ys.min(), ys.max(), xs.mean(), ys.mean())
    one, other = boxes["first"], boxes["second"]
    gap = {
        "left": other[0] - one[1],
        "right": one[0] - other[1],
        "above": other[2] - one[3],
        "below": one[2] - other[3],
    }[scene.relation]
    assert gap >= 9  # clearly apart
    aside = one[5] - other[5] if scene.relation in ("left", "right") else one[4] - other[4]
    assert abs(aside) < 50  # about level


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_cover_their_share_of_the_box(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A circle fills pi/4 of its box, and so on: by the geometry of each, without the drawing code."""
    monkeypatch.setattr(drawing, "_TILT", 0.0)
    share = {
        "circle": np.pi / 4,
        "square": 1.0,
        "triangle": 0.5,
        "star": 0.34,  # ten triangles of sin(36 degrees) * 0.42 / 2 in a box of 1.90 by 1.81
        "heart": 0.61,  # 180 pi in a box of 32 by 29
        "cross": 5 / 9,
    }[shape]
    scene = Scene(SceneObject(shape, "blue", "large"), SceneObject("circle", "red", "small"), "left")
    mask = blob(np.asarray(draw_scene(scene, random.Random(0))), "blue")
    ys, xs = np.nonzero(mask)
    assert mask.sum() / (np.ptp(xs) + 1) / (np.ptp(ys) + 1) == pytest.approx(share, abs=0.03)


def test_drawing_depends_on_the_seed_alone() -> None:
    scene = random_scene(random.Random(0))
    random.seed(1)
    np.random.seed(1)
    one = draw_scene(scene, random.Random(5))
    state = random.getstate()
    random.seed(2)
    again = draw_scene(scene, random.Random(5))
    random.setstate(state)
    assert one.size == (224, 224)
    assert one.mode == "RGB"
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != draw_scene(scene, random.Random(6)).tobytes()
