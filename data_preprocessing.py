"""Annotated photos -> vocabulary, splits, data loaders, statistics page and cached features.

The names that people look for are here; `python data_preprocessing.py` does the work on a dataset. All of it
is described in docs/data_preprocessing.md.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the imports below: torch takes seconds, and help needs none
    from showtell.cli import run_command

    raise SystemExit(run_command("preprocess", sys.argv[1:], prog="data_preprocessing.py"))

from showtell.data.annotations import load_annotations
from showtell.data.dataset import CaptionBatch, CaptionDataset, CaptionLoader, EvalLoader, collate_fn
from showtell.data.online_images import OnlineImages
from showtell.data.prepare import PreparedData, prepare_data
from showtell.data.preprocess import preprocess_image
from showtell.data.records import CaptionedImage
from showtell.data.splits import split_train_test, tuning_split, tuning_subset
from showtell.data.tokenizer import tokenize
from showtell.data.transforms import resize_image
from showtell.data.vocabulary import Vocabulary, build_vocab
from showtell.utils.devices import log_gpu_memory

__all__ = [
    "CaptionBatch",
    "CaptionDataset",
    "CaptionLoader",
    "CaptionedImage",
    "EvalLoader",
    "OnlineImages",
    "PreparedData",
    "Vocabulary",
    "build_vocab",
    "collate_fn",
    "load_annotations",
    "log_gpu_memory",
    "prepare_data",
    "preprocess_image",
    "resize_image",
    "split_train_test",
    "tokenize",
    "tuning_split",
    "tuning_subset",
]
