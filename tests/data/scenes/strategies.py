"""Any scene, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from showtell.data.scenes import Scene, SceneObject
from showtell.data.scenes.scene import COLOURS, RELATIONS, SHAPES, SIZES

OBJECTS = st.builds(SceneObject, st.sampled_from(SHAPES), st.sampled_from(COLOURS), st.sampled_from(SIZES))

SCENES = st.builds(Scene, OBJECTS, OBJECTS, st.sampled_from(RELATIONS)).filter(
    lambda scene: (scene.first.shape, scene.first.colour) != (scene.second.shape, scene.second.colour)
)

SEEDS = st.integers(0, 2**32)

RED_CIRCLE_OVER_BLUE_SQUARE = Scene(
    SceneObject("circle", "red", "small"), SceneObject("square", "blue", "large"), "above"
)
