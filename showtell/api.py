"""Open a model of any kind by name; `showtell` has the other public names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from showtell.checkpoints.names import split_ensemble
from showtell.config import Runtime
from showtell.data.transforms import check_image_size
from showtell.errors import UsageError
from showtell.runtime.manifest import find_exported
from showtell.utils.keywords import suggests_keywords
from showtell.utils.runs import resolve_last
from showtell.utils.shipped import DEFAULT_MODEL

if TYPE_CHECKING:  # it imports torch, which takes seconds
    import torch

    from showtell.captioning.base import CaptioningModel


@suggests_keywords()
def load(
    name: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str | torch.device | None = None,
    *,
    image_size: int | None = None,
    runtime: Runtime = "auto",
    encoder: str | None = None,
) -> CaptioningModel:
    """Open a model: `model = showtell.load()`, then `model("photo.jpg")`.

    Args:
        name: a run's folder, or `last` for the newest run, a folder in models/, a hub id (`owner/name`), an
            exported model's folder; or several runs, `a,b`, that caption together as an ensemble.
        device: where PyTorch computes: `cpu`, `cuda`, `cuda:1` (the second GPU), `mps` or a `torch.device`;
            by default, and with `auto`, what SHOWTELL_DEVICE names, else a GPU if there is one. Exported
            models run on the CPU.
        image_size: side in pixels that images are resized to, 64 to 1024; by default the model's own. Smaller
            is faster.
        runtime: what runs an exported model: `onnx`, `openvino`, or `auto`, which takes the faster one that
            is installed. Others are run by PyTorch (`torch`).
        encoder: name of the encoder's weights, if the model's file does not contain them and they have moved.

    Raises:
        ModelError: there is no such model, or it cannot be loaded.
        UsageError: an argument is unknown, or does not go with this model.
    """
    if not isinstance(name, str | os.PathLike):
        raise UsageError(
            f"load() takes the name of a model, not {type(name).__name__}: showtell.load('everyday')"
        )
    text = resolve_last(os.fspath(name))
    check_image_size(image_size)  # before seconds of loading
    model = _load_exported(text, device, image_size, runtime, encoder)
    if model is None:
        model = _load_torch(text, device, image_size, runtime, encoder)
    model.name = text
    return model


def _load_exported(
    name: str,
    device: str | torch.device | None,
    image_size: int | None,
    runtime: Runtime,
    encoder: str | None,
) -> CaptioningModel | None:
    """The exported model of that name, or None if it is none.

    Raises:
        UsageError: an argument has no effect on it.
    """
    folder = find_exported(name)
    if folder is None:
        return None
    from showtell.runtime.exported import ExportedCaptioner

    if runtime == "torch":
        raise UsageError(f"runtime torch: {name} is an exported model; name the run that it was made of")
    if encoder is not None:
        raise UsageError(f"encoder has no effect on an exported model ({name}); leave it out")
    if device is not None and str(device) not in ("auto", "cpu"):
        raise UsageError(f"device {device}: exported models run on the CPU; name the run that it was made of")
    return ExportedCaptioner(folder, runtime, image_size)


def _load_torch(
    name: str,
    device: str | torch.device | None,
    image_size: int | None,
    runtime: Runtime,
    encoder: str | None,
) -> CaptioningModel:
    members = split_ensemble(name)
    if any(map(find_exported, members)):
        raise UsageError(
            f"{name}: exported models cannot be combined; export the ensemble of the original runs instead"
        )
    if runtime not in ("auto", "torch"):
        raise UsageError(
            f"runtime {runtime} runs exported models: make one with showtell export --model {name}, and name"
            " its folder"
        )
    from showtell.captioning.captioner import Captioner

    return Captioner.load_ensemble(members, device=device, encoder=encoder, image_size=image_size)
