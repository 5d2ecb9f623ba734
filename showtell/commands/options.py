"""What options of several commands share: the model, names of settings, errors that name the option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from showtell.api import Runtime, load
from showtell.errors import ConfigError, UsageError
from showtell.resources import DEFAULT_MODEL

if TYPE_CHECKING:  # it imports torch, which takes seconds: help and misuse are answered at once
    from showtell.captioning import CaptioningModel


def add_model(parser: ArgumentParser) -> None:
    """Add the option that names a model."""
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="a run, an exported model, a folder in models/, or a hub id; a,b,c: an ensemble",
    )


def add_encoder(parser: ArgumentParser) -> None:
    """Add the option that names an encoder."""
    parser.add_argument(
        "--encoder", help="the encoder's weights, where the model is without and they have moved"
    )


def add_runtime(parser: ArgumentParser) -> None:
    """Add the option of what runs the model."""
    parser.add_argument(
        "--runtime",
        type=Runtime,
        default="auto",
        help="auto: of an exported model OpenVINO, else ONNX Runtime; of others PyTorch",
    )


def add_image_size(parser: ArgumentParser) -> None:
    """Add the option of the size that photos are brought to."""
    parser.add_argument(
        "--image-size",
        metavar="N",
        type=int,
        help="side in pixels that photos are brought to (others than squares: at the same area); smaller is"
        " faster; default: the model's own",
    )


def add_min_confidence(parser: ArgumentParser, effect: str) -> None:
    """Add the option of the threshold of doubt.

    Args:
        parser: of the command.
        effect: what becomes of captions of less confidence.
    """
    parser.add_argument(
        "--min-confidence",
        metavar="P",
        type=float,
        help=f"{effect} captions that are less than P likely to be better than the weakest quarter of"
        " people's; default: the model's own threshold; 0: none",
    )


def check_min_confidence(value: float | None) -> None:
    """Check --min-confidence.

    Raises:
        UsageError: it is no probability.
    """
    if value is not None and not 0 <= value <= 1:
        raise UsageError("--min-confidence is a probability: 0 to 1")


def require_confidence(captioner: CaptioningModel, min_confidence: float | None) -> None:
    """Check that the model has a confidence, where --min-confidence asks for one.

    Raises:
        UsageError: it has none.
    """
    if min_confidence and captioner.calibration is None:
        raise UsageError(
            "--min-confidence: this model's confidence is not calibrated (an ensemble's never is); choose"
            " another --model, finish its run with main.py --resume, or train it with 50 validation photos of"
            " two captions or more (--data.val_fraction)"
        )


def load_model(args: Namespace) -> CaptioningModel:
    """The model that --model and --encoder name, run as --runtime and --image-size say.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: the runtime cannot run it, or the image size is out of range.
    """
    return open_model(args.model, args.runtime, args.encoder, args.image_size)


def open_model(
    name: str, runtime: Runtime, encoder: str | None = None, image_size: int | None = None
) -> CaptioningModel:
    """A model by name (see `load_model`)."""
    return load(name, runtime=runtime, encoder=encoder, image_size=image_size)


def option(field: str) -> str:
    """The option that sets a field."""
    return f"--{field.replace('_', '-')}"


@contextmanager
def naming_options(section: str) -> Iterator[None]:
    """Name options instead of the fields of `section` in what a configuration complains of.

    Raises:
        UsageError: there was a ConfigError.
    """
    try:
        yield
    except ConfigError as error:
        raise UsageError(
            re.sub(rf"\b{section}\.(\w+)", lambda match: option(match[1]), str(error))
        ) from error
