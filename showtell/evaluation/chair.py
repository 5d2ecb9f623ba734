"""CHAIR: objects that captions name and that are not there (Rohrbach et al. 2018, arXiv:1809.02156)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from showtell.data.annotations.entries import Entries, EntryError
from showtell.data.annotations.fields import id_field, list_field, text_field
from showtell.data.annotations.reading import read_json
from showtell.errors import AnnotationError, DataError, UsageError
from showtell.evaluation.coco_objects import mentioned_objects
from showtell.evaluation.significance import Statistic


def load_instances(path: Path) -> Mapping[str, frozenset[str]]:
    """Which objects images have, by COCO's `instances_*.json`.

    Returns:
        Image id -> COCO's names of its objects, of each image that the file lists.

    Raises:
        UsageError: there is no such file.
        AnnotationError: the file or an entry cannot be used.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; correct --instances (instances)")
    content = read_json(path)
    entries = Entries(skip_bad=False)
    names: dict[str, str] = {}
    for number, record in enumerate(list_field(content, "categories", path)):
        with entries.entry(f"{path}: categories[{number}]"):
            names[id_field(record, "id")] = text_field(record, "name")
    kinds: dict[str, set[str]] = {}
    for number, record in enumerate(list_field(content, "images", path)):
        with entries.entry(f"{path}: images[{number}]"):
            kinds[id_field(record, "id")] = set()
    for number, record in enumerate(list_field(content, "annotations", path)):
        with entries.entry(f"{path}: annotations[{number}]"):
            category = id_field(record, "category_id")
            if category not in names:
                raise EntryError("wrong fields", f"unknown category {category}")
            kinds.setdefault(id_field(record, "image_id"), set()).add(names[category])
    if not names:
        raise AnnotationError(f"{path}: no categories in it; name COCO's instances_*.json")
    return {image: frozenset(objects) for image, objects in kinds.items()}


def chair(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    objects: Sequence[Collection[str]],
) -> tuple[Statistic, Statistic]:
    """How often captions name an object that is not there: neither annotated, nor named by a person.

    Args:
        candidates: N captions, as words.
        references: human captions of each image, as words.
        objects: of each image, COCO's names of its objects.

    Returns:
        CHAIRs, the share of captions with such an object, and CHAIRi, the share of such names among all names
        of objects.

    Raises:
        DataError: not as many captions, references and sets of objects.
    """
    if not len(candidates) == len(references) == len(objects):
        raise DataError(
            f"CHAIR: {len(candidates)} captions, {len(references)} images with references and "
            f"{len(objects)} with objects; give one of each"
        )
    named, invented = [], []
    for words, captions, present in zip(candidates, references, objects, strict=True):
        there = {*present, *(kind for caption in captions for kind in mentioned_objects(caption))}
        kinds = mentioned_objects(words)
        named.append(len(kinds))
        invented.append(sum(kind not in there for kind in kinds))
    return Statistic.mean([number > 0 for number in invented]), Statistic.ratio(invented, named)
