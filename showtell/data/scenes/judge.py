"""Check whether a caption describes a scene correctly, by parsing it with the grammar."""

from __future__ import annotations

import re
from dataclasses import dataclass

from showtell.data.scenes.grammar import FORMS, PHRASES
from showtell.data.scenes.scene import COLOURS, INVERSE, SHAPES, SIZES, Relation, Scene


@dataclass(frozen=True, slots=True)
class SceneJudgement:
    """Which parts of a caption are right.

    Attributes:
        objects: the shapes of both objects.
        colours: the colours, each on its own object.
        relation: where the objects are.
        sizes: the sizes, as far as the caption names them; not needed to be `all_right`.
    """

    objects: bool
    colours: bool
    relation: bool
    sizes: bool

    @property
    def all_right(self) -> bool:
        """Objects, colours and relation are all right."""
        return self.objects and self.colours and self.relation


@dataclass(frozen=True, slots=True)
class _ParsedObject:
    """An object as a caption describes it."""

    shape: str
    colour: str
    size: str | None


def _one_of(words: tuple[str, ...]) -> str:
    return "|".join(words)


def _noun_pattern(role: str) -> str:
    return (
        rf"(?:an?|the) (?:(?P<{role}_size>{_one_of(SIZES)}) )?"
        rf"(?P<{role}_colour>{_one_of(COLOURS)}) (?P<{role}_shape>{_one_of(SHAPES)})"
    )


_RELATION_OF = {phrase: relation for relation, phrases in PHRASES.items() for phrase in phrases}
_PATTERNS = tuple(
    re.compile(
        form.format(
            one=_noun_pattern("one"),
            other=_noun_pattern("other"),
            relation=f"(?P<relation>{_one_of(tuple(_RELATION_OF))})",
        )
    )
    for form in FORMS
)


def _parse(caption: str) -> tuple[_ParsedObject, _ParsedObject, Relation] | None:
    """The two objects and where the first is, seen from the second; None if no form of the grammar fits."""
    sentence = " ".join(re.sub(r"[^\w\s]", "", caption.lower()).split())
    for pattern in _PATTERNS:
        if match := pattern.fullmatch(sentence):
            one, other = (
                _ParsedObject(match[f"{role}_shape"], match[f"{role}_colour"], match[f"{role}_size"])
                for role in ("one", "other")
            )
            return one, other, _RELATION_OF[match["relation"]]
    return None


def _compare(one: _ParsedObject, other: _ParsedObject, relation: Relation, scene: Scene) -> SceneJudgement:
    """Judge with `one` taken for the scene's first object and `other` for its second."""
    pairs = ((one, scene.first), (other, scene.second))
    return SceneJudgement(
        objects=all(described.shape == thing.shape for described, thing in pairs),
        colours=all(described.colour == thing.colour for described, thing in pairs),
        relation=relation == scene.relation,
        sizes=all(described.size in (None, thing.size) for described, thing in pairs),
    )


def judge_caption(caption: str, scene: Scene) -> SceneJudgement:
    """Read a caption and compare it with the scene.

    The caption may describe the scene from either object's side ("a star above a heart" is "a heart below a
    star"). Its objects are matched with the scene's in the way that gets most right: shapes first, then
    colours, then the relation. Case, spaces and punctuation do not matter.

    Args:
        caption: any text.
        scene: the scene that it should describe.

    Returns:
        What is right. A text that is not a sentence of the grammar has nothing right.
    """
    parsed = _parse(caption)
    if parsed is None:
        return SceneJudgement(objects=False, colours=False, relation=False, sizes=False)
    one, other, relation = parsed
    readings = (
        _compare(one, other, relation, scene),
        _compare(other, one, INVERSE[relation], scene),
    )
    return max(readings, key=lambda j: (j.objects, j.colours, j.relation, j.sizes))
