"""A model on the disk: one safetensors file, with all that is not a tensor as JSON in its header.

Loading it never runs code, and one file is replaced whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from showtell.checkpoints.catalog import known_names
from showtell.checkpoints.fingerprint import weights_fingerprint
from showtell.checkpoints.hub import fetch_model, is_hub_id
from showtell.checkpoints.hub_metadata import check_configs
from showtell.checkpoints.names import NAME_HINT, unknown_model
from showtell.checkpoints.tensor_files import not_finite, read_safetensors
from showtell.errors import CheckpointError, ShowtellError, UsageError
from showtell.utils.files import write_atomic
from showtell.utils.keywords import did_you_mean_path
from showtell.utils.runs import MODEL, resolve_last
from showtell.utils.shipped import find_model

FORMAT_VERSION = 1
KEYS = {"decoder", "encoder", "vocabulary", "vocabulary_fingerprint", "checksum"}
"""The required keys of the header."""


def exact_half(tensor: Tensor) -> Tensor:
    """The same values in fp16 if that is exact, else unchanged."""
    if tensor.dtype != torch.float32:
        return tensor
    half = tensor.half()
    return half if torch.equal(half.float(), tensor) else tensor


def write_model(folder: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write `folder`/model.safetensors, whole or not at all.

    Args:
        folder: made if it is missing.
        header: plain values; version and checksum are added.
        tensors: by name.

    Returns:
        The file.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    full = {"version": FORMAT_VERSION, **header, "checksum": weights_fingerprint(kept)}
    return write_atomic(folder / MODEL, save(kept, {"showtell": json.dumps(full)}))


def read_model(name: str) -> tuple[Path, dict[str, Any], dict[str, Tensor]]:
    """Read what `write_model` wrote.

    Args:
        name: see `locate_model`.

    Returns:
        The file, its header and its tensors.

    Raises:
        CheckpointError: there is none, or it is damaged, of another version, or contradicted by the files of
            its hub folder.
    """
    path = locate_model(name)
    try:
        metadata, tensors = read_safetensors(path)
        header = json.loads(metadata.get("showtell", "null"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged, or not a model of showtell ({error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: not a model of showtell")
    if header.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: of version {str(header.get('version'))[:40]}, this showtell reads version"
            f" {FORMAT_VERSION}; use the showtell that wrote it, or train it again"
        )
    if KEYS - header.keys() or weights_fingerprint(tensors) != header["checksum"]:
        raise CheckpointError(
            f"{path}: damaged (the checksum is not that of its weights); copy or train it again"
        )
    if odd := not_finite(tensors):
        raise CheckpointError(
            f"{path}: {odd} has values that are infinite or not numbers; its training diverged: train it"
            " again with a lower learning rate"
        )
    with corrupt_file_as_checkpoint_error(path):
        check_configs(path.parent, header)
    return path, header, tensors


@contextmanager
def corrupt_file_as_checkpoint_error(path: Path) -> Iterator[None]:
    """Turn errors from a malformed header into a CheckpointError.

    A hub file is untrusted, and its checksum covers only the weights.

    Raises:
        CheckpointError: in place of an error that is not showtell's.
    """
    try:
        yield
    except ShowtellError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
        reason = shorten(f"{type(error).__name__}: {error}", 240)
        raise CheckpointError(
            f"{path}: damaged, its description is not that of a model ({reason}); copy or train it again"
        ) from error


def locate_model(name: str, revision: str | None = None) -> Path:
    """The file of a model.

    Args:
        name: its folder or file, the name of a folder in models/, or `last`, the newest run; else its hub id
            (`owner/name`): from the hub's cache, or downloaded.
        revision: of a hub id: branch, tag or commit; by default `main`.

    Raises:
        UnknownModelError: no model has this name.
        CheckpointError: its folder has no model.
        UsageError: a revision is given for what is no hub id.
    """
    model = find_model(resolve_last(name))
    if model is None and is_hub_id(name):
        try:
            return fetch_model(name, MODEL, revision)
        except CheckpointError as error:
            raise CheckpointError(f"{error}{did_you_mean_path(name, known_names())}") from error
    if revision is not None:
        raise UsageError(f"revision {revision}: {name} is no hub id (owner/name); leave the revision out")
    if model is None:
        raise unknown_model(name)
    path = model / MODEL if model.is_dir() else model
    if not path.is_file():
        hint = did_you_mean_path(name, known_names()) or NAME_HINT
        raise CheckpointError(f"{name}: no {MODEL} in this folder{hint}")
    return path
