"""A program that trains on random features, as one of the processes that torchrun or Lightning has started.

Usage: python -m tests.training.together FOLDER PROCESSES [--resume] [--die-at STEP]; process 0 writes
FOLDER/result.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from showtell.captioning.captioner import Captioner
from showtell.config import (
    DecoderConfig,
    DistillationConfig,
    SearchConfig,
    SelfCriticalConfig,
    TrainerConfig,
)
from showtell.data.dataset import CaptionDataset
from showtell.data.records import CaptionedImage
from showtell.decoder import make_decoder
from showtell.training.distributed import all_gather_object, start_processes
from showtell.training.fit import fit
from tests.conftest import make_tiny_encoder
from tests.training.toy import CONFIG, IMAGES, VOCABULARY, Features

EPOCHS = 2


class Counted(Features):
    """Features that count the training images asked for, and kill the process at the `die_at`-th."""

    def __init__(self, cells: int, dim: int, die_at: int | None) -> None:
        super().__init__(cells, dim)
        self.die_at, self.seen = die_at, Counter[str]()

    def __call__(self, image: CaptionedImage, draw: int | None) -> torch.Tensor:
        if draw is not None:
            self.seen[image.image_id] += 1
            if self.seen.total() == self.die_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(image, draw)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("processes")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--kind", default="topdown")
    parser.add_argument("--distill", action="store_true", help="the third stage too")
    args = parser.parse_args()
    trainer = TrainerConfig(devices="auto" if args.processes == "auto" else int(args.processes))
    info = start_processes(trainer)
    encoder = make_tiny_encoder()
    torch.manual_seed(0)
    config = DecoderConfig(kind=args.kind, embedding_dim=16, hidden_dim=16, attention_dim=16, dropout=0.0)
    decoder, teacher = (
        make_decoder(
            config,
            vocab_size=len(VOCABULARY),
            feature_dim=encoder.feature_dim,
            grid_cells=encoder.grid_cells,
        )
        for _ in range(2)
    )
    load = Counted(encoder.grid_cells, encoder.feature_dim, args.die_at)
    # 31 images and 7 to validate on: no number that two processes share evenly
    sets = [[i for i in IMAGES if i.split == s][1:] for s in ("train", "val")]
    result = fit(
        Captioner(encoder, decoder, VOCABULARY, "tiny"),
        *(CaptionDataset(images, VOCABULARY, load) for images in sets),
        replace(CONFIG, epochs=EPOCHS, checkpoint_minutes=0),
        SearchConfig(),
        args.folder,
        self_critical=SelfCriticalConfig(epochs=EPOCHS, learning_rate=5e-3, max_length=6),
        distillation=DistillationConfig(["teacher"], EPOCHS, 5e-3, max_length=6, mixup=0),
        teachers=[teacher] if args.distill else [],
        resume=args.resume,
    )
    seen = all_gather_object(load.seen)
    if info.is_rank_zero:
        answer = {
            "processes": info.world_size,
            "rows": result.epochs,
            "seen": [dict(counter) for counter in seen],
            "weights": {name: p.flatten().tolist() for name, p in decoder.state_dict().items()},
        }
        (args.folder / "result.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
