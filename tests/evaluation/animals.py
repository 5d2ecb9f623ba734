"""A small dataset in COCO's layout, and files of predictions for it."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

VAL_ONLY = "animals/annotations/captions_val2017.json"
WORDS = ("dog", "cat", "bird", "horse", "boat", "tree")


def write_animals(root: Path) -> Path:
    """Six training and six validation images, of three captions each."""
    (root / "annotations").mkdir(parents=True)
    for split, first in (("train2017", 100), ("val2017", 1)):
        (root / split).mkdir()
        images = [{"id": first + n, "file_name": f"{first + n:012}.jpg"} for n in range(6)]
        annotations = [
            {"id": 10 * (first + n) + k, "image_id": first + n, "caption": f"A {word} {verb} {where}."}
            for n, word in enumerate(WORDS)
            for k, (verb, where) in enumerate(
                [("stands", "on grass"), ("is", "outside"), ("rests", "by day")]
            )
        ]
        for number, image in enumerate(images):
            Image.new("RGB", (64, 48), (40 * number, 90, 120)).save(root / split / str(image["file_name"]))
        file = root / "annotations" / f"captions_{split}.json"
        file.write_text(json.dumps({"images": images, "annotations": annotations}))
    return root


def write_results(path: Path, verb: str = "stands", **changes: str) -> Path:
    """COCO's file of results: a caption of each validation image; `n2="..."` changes that of image 2."""
    captions = {n: f"a {word} {verb} on grass" for n, word in enumerate(WORDS, start=1)}
    captions |= {int(name[1:]): caption for name, caption in changes.items()}
    path.write_text(json.dumps([{"image_id": n, "caption": caption} for n, caption in captions.items()]))
    return path
