"""Score a file of predicted captions, of any model, against the references of a dataset.

The predictions are COCO results (a JSON list of image_id and caption), JSON Lines or CSV. Only the
annotations of the dataset are needed, not its photos.

python examples/evaluate_predictions.py captions.json coco/annotations/captions_val2017.json --split all
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

import showtell


def evaluate_predictions(
    predictions: Path, data: Path, split: Literal["train", "val", "test", "all"] = "val"
) -> float:
    """Print all scores with their confidence intervals; returns CIDEr."""
    evaluation = showtell.evaluate(predictions=predictions, data=data, split=split)
    print(evaluation)
    return evaluation.scores["CIDEr"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score a file of predicted captions.")
    parser.add_argument("predictions", type=Path, help=".json, .jsonl or .csv")
    parser.add_argument("data", type=Path, help="folder of the dataset, or its annotation file")
    parser.add_argument("--split", default="val", choices=["train", "val", "test", "all"])
    evaluate_predictions(**vars(parser.parse_args()))
