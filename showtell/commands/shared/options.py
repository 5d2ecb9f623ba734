"""Options of several commands: the model, names of settings, errors that name the option."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

from jsonargparse import Namespace

from showtell.commands.shared.parser import ArgumentGroup, Parser
from showtell.config import DEVICE_VARIABLE, Runtime
from showtell.errors import ConfigError, UsageError
from showtell.utils.runs import resolve_last
from showtell.utils.shipped import DEFAULT_MODEL

if TYPE_CHECKING:  # it imports torch, which takes seconds: help and misuse are answered at once
    from showtell.captioning.base import CaptioningModel

log = logging.getLogger(__name__)


def add_model(parser: ArgumentGroup, *, default: str | None = DEFAULT_MODEL) -> None:
    """Add the option that names a model.

    Args:
        parser: gets the option.
        default: None if the command has to know whether a model is named; it then takes `DEFAULT_MODEL`.
    """
    kinds = "a run (`last`: the newest), an exported model, a folder in models/, a hub id; a,b: an ensemble"
    parser.add_argument(
        "--model", metavar="MODEL", default=default, help=f"{kinds} (default: {DEFAULT_MODEL})"
    )


def add_encoder(parser: ArgumentGroup) -> None:
    """Add the option that names an encoder."""
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="the encoder's weights, if the model file does not contain them and they have moved",
    )


def add_runtime(parser: ArgumentGroup) -> None:
    """Add the option of what runs the model."""
    parser.add_argument(
        "--runtime",
        metavar="|".join(get_args(Runtime)),
        type=Runtime,
        default="auto",
        help="auto: of an exported model OpenVINO, else ONNX Runtime; of others PyTorch",
    )


def add_device(parser: ArgumentGroup) -> None:
    """Add the option of the device to compute on."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        type=str,
        default="auto",
        help=f"auto, cpu, cuda, cuda:1 (the second GPU) or mps; auto: what {DEVICE_VARIABLE} names, else a"
        " GPU if there is one, else the CPU",
    )


def name_last(args: Namespace) -> None:
    """Put the newest run in place of `last`, wherever the arguments name a model, and log which one it is.

    Raises:
        UnknownModelError: there is no run.
    """
    for key in ("model", "against", "init"):
        name = args.get(key)
        if isinstance(name, str) and (resolved := resolve_last(name)) != name:
            log.info("--%s %s: %s", key, name, resolved)
            args[key] = resolved


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Make a device the choice of this process, and of those that it starts, for the block.

    Args:
        device: value of --device; `auto` leaves the choice as it is.

    Raises:
        UsageError: it is no name of a device. (Whether the machine has it, `pick_device` checks.)
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: choose auto, cpu, cuda, cuda:1 (the second GPU) or mps")
    before = os.environ.get(DEVICE_VARIABLE)
    if device != "auto":
        os.environ[DEVICE_VARIABLE] = device
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(DEVICE_VARIABLE, None)
        else:
            os.environ[DEVICE_VARIABLE] = before


def add_image_size(parser: ArgumentGroup) -> None:
    """Add the option of the size that photos are brought to."""
    parser.add_argument(
        "--image-size",
        metavar="N",
        type=int,
        help="side in pixels that photos are brought to (others than squares: at the same area); smaller is"
        " faster; default: the model's own",
    )


def add_model_options(
    parser: Parser, *, encoder: bool = True, default_model: str | None = DEFAULT_MODEL
) -> None:
    """Add the options of a model that captions: its name, and how it runs.

    Args:
        parser: of the command.
        encoder: with the option that names an encoder.
        default_model: see `add_model`.
    """
    group = parser.add_argument_group("model")
    add_model(group, default=default_model)
    if encoder:
        add_encoder(group)
    add_runtime(group)
    add_image_size(group)
    add_device(group)


def add_min_confidence(parser: ArgumentGroup, effect: str) -> None:
    """Add the option of the threshold of doubt.

    Args:
        parser: of the command.
        effect: what becomes of captions of less confidence.
    """
    parser.add_argument(
        "--min-confidence",
        metavar="P",
        type=float,
        help=f"{effect} captions whose confidence (the probability that they are good) is below P;"
        " default: the model's own threshold; 0: none",
    )


def add_general(parser: ArgumentGroup) -> None:
    """Add the options that every command has."""
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="log warnings and errors only, and show no progress bars"
    )
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")


def check_min_confidence(value: float | None) -> None:
    """Check --min-confidence.

    Raises:
        UsageError: it is no probability.
    """
    if value is not None and not 0 <= value <= 1:
        raise UsageError("--min-confidence is a probability: 0 to 1")


def require_confidence(captioner: CaptioningModel, min_confidence: float | None) -> None:
    """Check that the model has a confidence, if --min-confidence asks for one.

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
    return open_model(args.model, args.runtime, args.encoder, args.image_size, args.device)


def open_model(
    name: str,
    runtime: Runtime,
    encoder: str | None = None,
    image_size: int | None = None,
    device: str = "auto",
) -> CaptioningModel:
    """A model by name (see `load_model`)."""
    from showtell.api import load

    return load(name, device, runtime=runtime, encoder=encoder, image_size=image_size)


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
