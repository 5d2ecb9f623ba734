"""Annotated photos -> vocabulary, splits, data loaders, statistics page and cached features.

The names that people look for are here; `python data_preprocessing.py` does the work on a dataset. All of it
is described in docs/data_preprocessing.md.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

_MODULES = {
    "showtell.data.annotations": ("load_annotations",),
    "showtell.data.dataset": (
        "CaptionBatch",
        "CaptionDataset",
        "CaptionLoader",
        "EvalLoader",
        "collate_fn",
    ),
    "showtell.data.online_images": ("OnlineImages",),
    "showtell.data.prepare": (
        "PreparedData",
        "prepare_data",
    ),
    "showtell.data.preprocess": ("preprocess_image",),
    "showtell.data.records": ("CaptionedImage",),
    "showtell.data.splits": (
        "split_train_test",
        "tuning_split",
        "tuning_subset",
    ),
    "showtell.data.tokenizer": ("tokenize",),
    "showtell.data.transforms": ("resize_image",),
    "showtell.data.vocabulary": (
        "Vocabulary",
        "build_vocab",
    ),
    "showtell.utils.devices": ("log_gpu_memory",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """A name of `__all__`, imported now: torch takes seconds, and the help of the script needs none."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The names of `__all__`."""
    return __all__


if __name__ == "__main__":
    from showtell.cli import run_command

    raise SystemExit(run_command("preprocess", sys.argv[1:], prog="data_preprocessing.py"))
