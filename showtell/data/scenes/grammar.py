"""Sentence templates that describe a scene, which `judge_caption` can parse."""

from __future__ import annotations

import random

from showtell.data.scenes.scene import Relation, Scene, SceneObject
from showtell.errors import UsageError

PHRASES: dict[Relation, tuple[str, ...]] = {
    "left": ("to the left of", "left of"),
    "right": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
"""Phrases for each relation."""

FORMS = (
    "{one} {relation} {other}",
    "{one} is {relation} {other}",
    "{one} sits {relation} {other}",
    "there is {one} {relation} {other}",
    "the picture shows {one} {relation} {other}",
    "a picture of {one} {relation} {other}",
    "you can see {one} {relation} {other}",
    "{relation} {other} is {one}",
    "{relation} {other} there is {one}",
    "{other} with {one} {relation} it",
)
"""The sentences: `one` is in the relation to `other`."""

_SIZE_MENTION_RATE = 0.4  # share of the captions that name both sizes
_DEFINITE = 0.2  # share of the objects that are "the" instead of "a"


def _noun_phrase(thing: SceneObject, with_size: bool, rng: random.Random) -> str:
    words = f"{thing.size} {thing.colour} {thing.shape}" if with_size else f"{thing.colour} {thing.shape}"
    indefinite = "an" if words[0] in "aeiou" else "a"
    return f"{'the' if rng.random() < _DEFINITE else indefinite} {words}"


def scene_captions(scene: Scene, rng: random.Random, count: int = 5) -> tuple[str, ...]:
    """Describe a scene in several different sentences.

    Each names both objects with their colours and the relation, from either object's side; some name the
    sizes too. Words are in lower case, without punctuation.

    Args:
        scene: the scene to describe.
        rng: decides forms and words.
        count: how many sentences, at most 20.

    Returns:
        `count` sentences, no two alike.

    Raises:
        UsageError: if `count` is under 1 or over 20.
    """
    choices = [(form, described) for form in FORMS for described in (scene, scene.swapped())]
    if not 1 <= count <= len(choices):
        raise UsageError(f"a scene has 1 to {len(choices)} captions, not {count}: ask for fewer")
    captions = []
    for form, described in rng.sample(choices, count):
        with_size = rng.random() < _SIZE_MENTION_RATE
        captions.append(
            form.format(
                one=_noun_phrase(described.first, with_size, rng),
                other=_noun_phrase(described.second, with_size, rng),
                relation=rng.choice(PHRASES[described.relation]),
            )
        )
    return tuple(captions)
