"""What options of several commands share: the model, names of settings, errors that name the option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from showtell.errors import ConfigError, UsageError

if TYPE_CHECKING:  # it imports torch, which takes seconds: help and misuse are answered at once
    from showtell.captioning import CaptioningModel


def add_model(parser: ArgumentParser) -> None:
    """Add the options that `load_model` reads."""
    parser.add_argument(
        "--model", default="flickr8k", help="a run, or a folder in models/; a,b,c: an ensemble"
    )
    parser.add_argument(
        "--encoder", help="the encoder's weights, where the model is without and they have moved"
    )


def load_model(args: Namespace) -> CaptioningModel:
    """The captioner that --model and --encoder name.

    Raises:
        ModelError: it cannot be loaded.
    """
    from showtell.captioner import Captioner

    return Captioner.load_ensemble(args.model.split(","), encoder=args.encoder)


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
