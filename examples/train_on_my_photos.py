"""Fine-tune a model on your own photos, and caption one of them before and after.

The folder holds the photos and their captions in one of the formats of docs/data_preprocessing.md, for
example a file captions.csv with the columns image and caption.

python examples/train_on_my_photos.py my_photos --out runs/mine
"""

from __future__ import annotations

import argparse
from pathlib import Path

import showtell


def train_on_my_photos(photos: Path, out: Path, init: str = "everyday", epochs: int = 10) -> Path:
    """Fine-tune `init` on the photos and return the run's folder, whose name any command takes as --model."""
    run = showtell.train(photos, out, init=init, finetune=showtell.FineTuningConfig(epochs=epochs))
    print(run)
    example = run.data.val[0].path
    print(f"{example.name}")
    print("  before:", showtell.load(init)(example))
    print("  after: ", run.load()(example))
    return run.folder


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fine-tune a model on your own photos.")
    parser.add_argument("photos", type=Path, help="folder of the photos and their captions")
    parser.add_argument("--out", type=Path, default=Path("runs/mine"), help="folder of the run")
    parser.add_argument("--init", default="everyday", help="the model to start from")
    parser.add_argument("--epochs", type=int, default=10, help="maximum number of epochs")
    try:
        train_on_my_photos(**vars(parser.parse_args()))
    except showtell.ShowtellError as error:
        parser.exit(error.exit_code, f"error: {error}\n")
