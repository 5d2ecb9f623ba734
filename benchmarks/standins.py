"""Stand-ins for COCO 2017: as many images and captions, in the official layout and under names of its form.

The images are a few dozen JPEG files of 640 x 480, each under thousands of names (hard links: they take no
room). The captions are made of pseudo-words whose frequencies fall as those of COCO's words do.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from common import make_photos
from numpy.typing import NDArray

IMAGES = {"train": 118_287, "val": 5_000}
CAPTIONS = {"train": 591_753, "val": 25_014}
"""Of COCO 2017: 616,767 captions."""
TYPES = 29_000
"""Different words."""
_PHOTOS = 64
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u")]


def make_standins(folder: Path, scale: float = 1.0) -> dict[str, tuple[int, int]]:
    """Write `annotations/captions_{train,val}2017.json`, `train2017/` and `val2017/`.

    Args:
        folder: where they go.
        scale: share of COCO's size.

    Returns:
        split -> (images, captions).
    """
    photos = make_photos(_folder(folder / "photos"), _PHOTOS)
    words = _words(np.random.default_rng(0))
    sizes = {split: (round(IMAGES[split] * scale), round(CAPTIONS[split] * scale)) for split in IMAGES}
    numbers = np.random.default_rng(1).permutation(581_929)[: sum(images for images, _ in sizes.values())] + 1
    begin = 0
    for split, (images, captions) in sizes.items():
        ids = np.sort(numbers[begin : begin + images]).tolist()
        begin += images
        _write_split(folder, split, ids, captions, words)
        target = _folder(folder / f"{split}2017")
        for place, number in enumerate(ids):
            _link(photos[place % _PHOTOS], target / _name(number))
    return sizes


def _write_split(folder: Path, split: str, ids: list[int], captions: int, words: Iterator[str]) -> None:
    """The annotation file: five captions an image, and one more for as many images as it takes."""
    counts = [captions // len(ids) + (place < captions % len(ids)) for place in range(len(ids))]
    images = [
        {"license": 1, "file_name": _name(n), "height": 480, "width": 640, "date_captured": "", "id": n}
        for n in ids
    ]
    owners = [number for number, count in zip(ids, counts, strict=True) for _ in range(count)]
    annotations = [
        {"image_id": owner, "id": place + 1, "caption": next(words)} for place, owner in enumerate(owners)
    ]
    path = _folder(folder / "annotations") / f"captions_{split}2017.json"
    path.write_text(json.dumps({"info": {}, "licenses": [], "images": images, "annotations": annotations}))


def _words(random: np.random.Generator) -> Iterator[str]:
    """Captions of about 10.5 words; word i comes about as often as 1 / (i + 3) ** 1.5."""
    types = _pseudo_words()
    weights = 1 / (np.arange(len(types)) + 3.0) ** 1.5
    weights /= weights.sum()
    while True:
        lengths = np.clip(np.rint(random.normal(10.5, 2.3, 4096)), 7, 40).astype(int)
        drawn: NDArray[np.int64] = random.choice(len(types), lengths.sum(), p=weights)
        for part in np.split(drawn, np.cumsum(lengths)[:-1]):
            yield " ".join(types[word] for word in part).capitalize() + "."


def _pseudo_words() -> Sequence[str]:
    """Pronounceable words, the frequent ones short."""
    made: list[str] = list(_SYLLABLES)
    while len(made) < TYPES:
        made += [stem + end for stem in made[: TYPES // 50] for end in _SYLLABLES]
        made = list(dict.fromkeys(made))
    return made[:TYPES]


def _name(number: int) -> str:
    return f"{number:012}.jpg"


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _link(source: Path, name: Path) -> None:
    """Another name for a file; a copy where the disk has no links."""
    try:
        os.link(source, name)
    except OSError:
        shutil.copyfile(source, name)
