"""showtell: caption images with a frozen ResNet50 encoder and a recurrent decoder.

    import showtell

    model = showtell.load()  # the included model
    print(model("photo.jpg"))

The names in `__all__` are public; each is imported when it is first used.
"""

from __future__ import annotations as _annotations

import typing as _typing

if _typing.TYPE_CHECKING:
    from showtell.api import load
    from showtell.captioning.caption import Caption
    from showtell.captioning.captioner import Captioner
    from showtell.config import (
        CacheConfig,
        DataConfig,
        DatasetConfig,
        DecoderConfig,
        DistillationConfig,
        EncoderConfig,
        FineTuningConfig,
        SearchConfig,
        SelfCriticalConfig,
        TrainerConfig,
        TrainingConfig,
    )
    from showtell.data.dataset import CaptionDataset, collate_fn
    from showtell.data.vocabulary import Vocabulary, build_vocab
    from showtell.decoder import RNNDecoder
    from showtell.encoder.cnn import CNNEncoder
    from showtell.errors import ShowtellError
    from showtell.evaluation.run import evaluate
    from showtell.exporting.run import export
    from showtell.reporting.run import report
    from showtell.training.run import train

__version__ = "0.2.0"

__all__ = [
    "CNNEncoder",
    "CacheConfig",
    "Caption",
    "CaptionDataset",
    "Captioner",
    "DataConfig",
    "DatasetConfig",
    "DecoderConfig",
    "DistillationConfig",
    "EncoderConfig",
    "FineTuningConfig",
    "RNNDecoder",
    "SearchConfig",
    "SelfCriticalConfig",
    "ShowtellError",
    "TrainerConfig",
    "TrainingConfig",
    "Vocabulary",
    "build_vocab",
    "collate_fn",
    "evaluate",
    "export",
    "load",
    "report",
    "train",
]

_MODULES = {
    "showtell.api": ("load",),
    "showtell.captioning.captioner": ("Captioner",),
    "showtell.captioning.base": ("Caption",),
    "showtell.config": tuple(name for name in __all__ if name.endswith("Config")),
    "showtell.data.dataset": ("CaptionDataset", "collate_fn"),
    "showtell.data.vocabulary": ("Vocabulary", "build_vocab"),
    "showtell.decoder": ("RNNDecoder",),
    "showtell.encoder.cnn": ("CNNEncoder",),
    "showtell.errors": ("ShowtellError",),
    "showtell.evaluation.run": ("evaluate",),
    "showtell.exporting.run": ("export",),
    "showtell.reporting.run": ("report",),
    "showtell.training.run": ("train",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """A public name, imported now."""
    if name not in _HOME:
        raise AttributeError(f"module 'showtell' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
