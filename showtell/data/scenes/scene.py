"""Synthetic scenes: two objects and the relation between them; random choice of scenes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

Shape = Literal["circle", "square", "triangle", "star", "heart", "cross"]
Colour = Literal["red", "orange", "yellow", "green", "blue", "purple", "black"]
Size = Literal["small", "large"]
Relation = Literal["left", "right", "above", "below"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLOURS: tuple[Colour, ...] = get_args(Colour)
SIZES: tuple[Size, ...] = get_args(Size)
RELATIONS: tuple[Relation, ...] = get_args(Relation)

INVERSE: dict[Relation, Relation] = {"left": "right", "right": "left", "above": "below", "below": "above"}
"""The relation as seen from the other object."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One drawn object.

    Attributes:
        shape: its outline.
        colour: its fill.
        size: `small` (46-60 pixels across) or `large` (80-96).
    """

    shape: Shape
    colour: Colour
    size: Size


@dataclass(frozen=True, slots=True)
class Scene:
    """Two objects and where they are.

    Attributes:
        first: one object.
        second: the other; it differs from the first in shape or colour, so that captions can tell them apart.
        relation: where `first` is, seen from `second`: `left` means that first is to the left of second.
    """

    first: SceneObject
    second: SceneObject
    relation: Relation

    def swapped(self) -> Scene:
        """The same scene with the two objects exchanged."""
        return Scene(self.second, self.first, INVERSE[self.relation])


def random_scene(rng: random.Random) -> Scene:
    """Choose a scene: every pair of objects that differ in shape or colour is equally likely."""
    kinds = [(shape, colour) for shape in SHAPES for colour in COLOURS]
    first, second = (SceneObject(*kind, rng.choice(SIZES)) for kind in rng.sample(kinds, 2))
    return Scene(first, second, rng.choice(RELATIONS))
