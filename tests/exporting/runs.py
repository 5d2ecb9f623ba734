"""The folder of a training run, with settings, history and the reliability of its confidence."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import yaml

from showtell.captioning.captioner import Captioner
from tests.commands.test_caption import save_model

HISTORY = """epoch,train_loss,val_loss,BLEU-1,BLEU-4,CIDEr,saved
1,3.5,3.1,0.4,0.1,0.25,1
2,3.0,2.9,0.5,0.15,0.3125,1
3,2.8,3.0,0.6,0.16,0.5,0
"""
SETTINGS = {
    "data": {"root": "/home/me/secret/flickr8k", "images": "/home/me/secret/photos", "min_count": 4},
    "decoder": {"kind": "topdown"},
    "distillation": {"epochs": 2, "teachers": ["/home/me/secret/teacher"]},
    "search": {"beam_size": 7},
    "out": "/home/me/secret/run",
}
CAPTIONS = {
    "number": 100,
    "right": 0.5,
    "calibration_error": 0.0625,
    "doubtful": 0.25,
    "doubtful_precision": 0.75,
}
RELIABILITY = {
    "doubtful_below": 0.31,
    "datasets": {
        "coco": {"captions": CAPTIONS},
        "flickr8k": {"captions": CAPTIONS | {"doubtful": 0.0, "doubtful_precision": None}},
    },
}


def write_run(folder: Path) -> None:
    """Write the files of a run besides its model."""
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    (folder / "history.csv").write_text(HISTORY)
    (folder / "reliability.json").write_text(json.dumps(RELIABILITY))


def make_run(folder: Path) -> Path:
    """Write a run with its model."""
    model = Captioner.load(str(save_model(folder)), device=torch.device("cpu"))
    model.encoder_name = "/home/me/secret/resnet.pth"
    model.save(folder)
    write_run(folder)
    (folder / "reliability.png").write_bytes(b"a plot")
    return folder
