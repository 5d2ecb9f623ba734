"""The dataset as a folder: `images/00001.png`..., and `captions.jsonl`, which any JSON Lines reader takes.

Of the files, `scenes.json` comes first and says what the folder is; `captions.jsonl` comes last and says that
it is complete. So a folder left by a kill is recognised as incomplete.
"""

from __future__ import annotations

import json
import logging
import random
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from showtell.data.records import CaptionedImage, Split
from showtell.data.scenes.drawing import draw_scene
from showtell.data.scenes.grammar import scene_captions
from showtell.data.scenes.scene import (
    COLOURS,
    RELATIONS,
    SHAPES,
    SIZES,
    Scene,
    SceneObject,
    random_scene,
)
from showtell.errors import AnnotationError, UsageError
from showtell.utils.files import write_atomic

log = logging.getLogger(__name__)

GENERATOR_VERSION = 1
"""Raise it with any change of what a seed draws or says: folders made before are then made anew."""

_ABOUT, _CAPTIONS, _IMAGES, _LOCK = "scenes.json", "captions.jsonl", "images", ".scenes.lock"
_SPLITS: tuple[Split, ...] = ("train",) * 8 + ("val", "test")  # of every ten scenes


def make_scenes(folder: Path, num: int, seed: int = 0) -> list[CaptionedImage]:
    """Make the dataset, or take the one that is there if it is the same and complete.

    Every ten scenes hold 8 of the split `train`, 1 `val` and 1 `test`. A larger `num` adds scenes and
    leaves those before as they are. The `image_id` is `images/00001.png`, as when `captions.jsonl` is read
    as any other dataset. Several processes may call this at once: one works, the others wait.

    Args:
        folder: where to put it (made if missing). Scenes of another number, seed or version are replaced.
        num: how many scenes.
        seed: another seed makes other scenes. The same seed makes the same captions on every machine, and the
            same files with the same Pillow.

    Returns:
        The scenes' images with five captions each, in order.

    Raises:
        UsageError: `num` is under 1, the folder holds something else, or it cannot be written.
    """
    if num < 1:
        raise UsageError(f"the number of scenes is {num}: it must be at least 1")
    about = json.dumps({"generator": GENERATOR_VERSION, "num": num, "seed": seed}) + "\n"
    scenes = [random_scene(_rng(seed, number, "scene")) for number in range(1, num + 1)]
    records = [_record(scene, number, seed) for number, scene in enumerate(scenes, start=1)]
    captions = "".join(json.dumps(record) + "\n" for record in records)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK):
            if not _is_complete(folder, about, captions, records):
                log.info("drawing %d scenes into %s", num, folder)
                _clear(folder)
                write_atomic(folder / _ABOUT, about)
                _draw_all(folder, scenes, records, seed)
                write_atomic(folder / _CAPTIONS, captions)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{folder}: cannot write scenes there ({reason}); name another folder") from error
    return [_captioned(folder, record) for record in records]


def read_scenes(folder: Path) -> dict[str, Scene]:
    """Read back what the images of a folder show, to judge captions of them.

    Returns:
        The scene of each `image_id`.

    Raises:
        AnnotationError: `captions.jsonl` is missing, or a line of it does not describe a scene.
    """
    file = folder / _CAPTIONS
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{file}: cannot be read; make the scenes again") from error
    scenes = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            scenes[str(record["image"])] = _scene_of(record)
        except (ValueError, KeyError, TypeError) as error:
            problem = f"{file}: line {number} does not describe a scene"
            raise AnnotationError(f"{problem}; remove the folder and make the scenes again") from error
    return scenes


def _rng(seed: int, number: int, purpose: str) -> random.Random:
    """A generator of its own for each scene and purpose; seeding by text is the same on every machine."""
    return random.Random(f"showtell scenes {seed} {number} {purpose}")


def _record(scene: Scene, number: int, seed: int) -> dict[str, Any]:
    """A line of `captions.jsonl`."""
    captions = scene_captions(scene, _rng(seed, number, "captions"))
    split = _SPLITS[(number - 1) % len(_SPLITS)]
    return {"image": f"{_IMAGES}/{number:05d}.png", "captions": captions, "split": split, **asdict(scene)}


def _captioned(folder: Path, record: dict[str, Any]) -> CaptionedImage:
    return CaptionedImage(folder / record["image"], record["captions"], record["split"], record["image"])


def _scene_of(record: dict[str, Any]) -> Scene:
    things = [SceneObject(**record[name]) for name in ("first", "second")]
    scene = Scene(things[0], things[1], record["relation"])
    if scene.relation not in RELATIONS or any(
        thing.shape not in SHAPES or thing.colour not in COLOURS or thing.size not in SIZES
        for thing in things
    ):
        raise ValueError("unknown word")
    return scene


def _is_complete(folder: Path, about: str, captions: str, records: list[dict[str, Any]]) -> bool:
    """Whether the folder holds exactly this dataset, with every image."""
    for name, content in ((_ABOUT, about), (_CAPTIONS, captions)):
        file = folder / name
        if not file.is_file() or file.read_bytes() != content.encode():
            return False
    images = (folder / record["image"] for record in records)
    return all(image.is_file() and image.stat().st_size > 0 for image in images)


def _clear(folder: Path) -> None:
    """Remove the scenes of before; the file that says "complete" goes first.

    Raises:
        UsageError: what is there was not made here.
    """
    ours = (folder / _ABOUT).is_file()
    if not ours and ((folder / _CAPTIONS).exists() or (folder / _IMAGES).exists()):
        raise UsageError(f"{folder}: holds another dataset; name another folder for the scenes")
    (folder / _CAPTIONS).unlink(missing_ok=True)
    for image in (folder / _IMAGES).glob("*.png"):
        if re.fullmatch(r"\d{5,}", image.stem):
            image.unlink()


def _draw_all(folder: Path, scenes: list[Scene], records: list[dict[str, Any]], seed: int) -> None:
    (folder / _IMAGES).mkdir(exist_ok=True)
    for number, (scene, record) in enumerate(zip(scenes, records, strict=True), start=1):
        image = draw_scene(scene, _rng(seed, number, "picture"))
        image.save(folder / record["image"], compress_level=3)
