"""config.json and preprocessor_config.json of a hub folder, in the hub's conventions.

The model is built from the header of model.safetensors alone; the two JSON files repeat its values for
readers and other programs. Loading fails if one contradicts the header, because editing it would have no
effect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from showtell.data.vocabulary import Vocabulary
from showtell.errors import CheckpointError
from showtell.utils.files import read_json

CONFIG: Final = "config.json"
PREPROCESSOR: Final = "preprocessor_config.json"
MODEL_TYPE: Final = "showtell"
_BICUBIC: Final = 3
_MAX_VALUE_CHARS: Final = 80
"""Characters of a value that an error shows at most."""


def model_config(header: Mapping[str, Any]) -> dict[str, Any]:
    """The content of config.json for a model.

    Args:
        header: of its file (see `showtell.checkpoints.model_file`).
    """
    encoder, vocabulary = header["encoder"], Vocabulary.from_json(header["vocabulary"])
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["Captioner"],
        "decoder": dict(header["decoder"]),
        "encoder": {
            "name": encoder["name"],
            **({} if "kind" in encoder["architecture"] else {"model_type": "resnet"}),
            **encoder["architecture"],
            **{key: encoder[key] for key in ("grid_side",) if key in encoder},
        },
        "image_size": encoder["transform"]["size"],
        "vocab_size": len(vocabulary),
        "pad_token_id": vocabulary.pad_id,
        "bos_token_id": vocabulary.start_id,
        "eos_token_id": vocabulary.end_id,
        "unk_token_id": vocabulary.unk_id,
    }


def preprocessor_config(header: Mapping[str, Any]) -> dict[str, Any]:
    """The content of preprocessor_config.json: a model's image transform, under the names of `transformers`.

    A square comes out as showtell makes it. `transformers` squeezes others to a square; showtell keeps their
    proportions, at the same area and with sides of whole multiples of a 7th of the size, which no processor
    of `transformers` does.

    Args:
        header: of its file (see `showtell.checkpoints.model_file`).
    """
    transform = header["encoder"]["transform"]
    size = transform["size"]
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": _BICUBIC,
        "keep_proportions": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(transform["mean"]),
        "image_std": list(transform["std"]),
    }


def check_configs(folder: Path, header: Mapping[str, Any]) -> None:
    """Compare a hub folder's two files with its model; other folders pass, and so do keys that are missing.

    Args:
        folder: of the model.
        header: of its file.

    Raises:
        CheckpointError: one contradicts the header, or is damaged.
    """
    config = _read(folder / CONFIG)
    if config is None or config.get("model_type") != MODEL_TYPE:
        return
    _compare(folder / CONFIG, config, model_config(header))
    images = _read(folder / PREPROCESSOR)
    if images is not None:
        _compare(folder / PREPROCESSOR, images, preprocessor_config(header))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CheckpointError(f"{path}: damaged ({reason}); export the model again") from error


def _compare(path: Path, values: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for key, value, wanted in _contradictions(values, expected):
        raise CheckpointError(
            f"{path}: {key} is {_short(value)}, but {_short(wanted)} in the model's weights, which alone "
            "count; take the change back, or export the model again"
        )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[:_MAX_VALUE_CHARS]}..."


def _contradictions(
    values: Mapping[str, Any], expected: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Name, actual and expected value of the settings that both have and that differ."""
    for key in expected.keys() & values.keys():
        value, wanted = values[key], expected[key]
        if isinstance(wanted, dict) and isinstance(value, dict):
            yield from _contradictions(value, wanted, f"{prefix}{key}.")
        elif value != wanted:
            yield f"{prefix}{key}", value, wanted
