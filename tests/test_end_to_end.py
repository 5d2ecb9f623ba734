"""The real commands on real data: what the README promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def command(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Run a root script as a user does; (standard output, standard error)."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_scenes_are_learned(tmp_path: Path) -> None:
    """Trained on drawn scenes, at least 80 % of held-out ones get a caption that is right in everything."""
    out = ("--out", tmp_path / "run", "--cache.dir", tmp_path / "cache")
    _, log = command("main.py", "--config", "configs/scenes.yaml", *out)
    right = re.search(r"all right: ([\d.]+) % of", log)
    assert right is not None
    assert float(right[1]) >= 80, log
    epochs = [float(loss) for loss in re.findall(r"val loss ([\d.]+)", log)]
    assert epochs[-1] < epochs[0]


def test_coco_layout_from_photos_to_captions(tmp_path: Path, shared_data: Path) -> None:
    """COCO-mini: preprocess, train two epochs, caption the validation photos, with the real encoder."""
    data = ("--config", "configs/coco.yaml", "--data.root", shared_data / "coco-mini", "--data.min_count", 2)
    cache = ("--cache.dir", tmp_path / "cache")
    _, log = command("data_preprocessing.py", *data, *cache, "--report", tmp_path / "report")
    assert "80 train, 79 val" in log
    assert (tmp_path / "report" / "statistics.html").exists()
    _, log = command("main.py", *data, *cache, "--out", tmp_path / "run", "--training.epochs", 2)
    assert "all cached" in log
    photos = shared_data / "coco-mini" / "val2017"
    output = tmp_path / "captions.jsonl"
    shown, _ = command("inference.py", photos, "--model", tmp_path / "run", "--output", output)
    records = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(records) == len(shown.splitlines()) == 79
    assert all(record["caption"] for record in records)


def test_online_features(tmp_path: Path) -> None:
    """The classic way: random crop and flip, and the encoder, every epoch."""
    few = ("--data.num_scenes", 40, "--training.epochs", 1, "--training.batch_size", 16)
    small = tuple(f"--decoder.{name}_dim=32" for name in ("embedding", "hidden", "attention"))
    out = ("--out", tmp_path / "run", "--cache.dir", tmp_path / "cache")
    _, log = command("main.py", "--features", "online", *few, *small, *out)
    assert "epoch 1/1" in log
    assert not (tmp_path / "cache" / "features").exists()


def test_shipped_model_captions_the_dev_photos(shared_data: Path, tmp_path: Path) -> None:
    """The included model is good on 200 photos of Flickr8k's dev split, which it chose its epoch by."""
    from showtell.data.annotations import load_annotations
    from showtell.evaluation.validation import score_captions

    images = [i for i in load_annotations(shared_data / "flickr8k").images if i.split == "val"][:200]
    names = "\n".join(str(image.path) for image in images)
    output = tmp_path / "captions.jsonl"
    subprocess.run(
        [sys.executable, "inference.py", "-", "--output", str(output)],
        cwd=ROOT, input=names, text=True, check=True, capture_output=True,
    )  # fmt: skip
    said = [json.loads(line) for line in output.read_text().splitlines()]
    predictions = {i.image_id: record["caption"] for i, record in zip(images, said, strict=True)}
    scores = score_captions(predictions, {i.image_id: i.captions for i in images})
    assert scores["CIDEr"] > 0.50
    assert scores["BLEU-4"] > 0.20
