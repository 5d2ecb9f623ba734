"""Train a captioner. Without arguments: on drawn scenes, end to end in a few minutes.

The run's folder gets the whole model whenever the validation loss decreases.
"""

from __future__ import annotations

from typing import Final

from jsonargparse import Namespace

from showtell.commands.shared.parser import Parser
from showtell.commands.shared.run_options import add_run_arguments, to_run_config

EXAMPLES: Final = (
    ("{prog} --data my_photos/ --out runs/mine", "on your photos, from the model in the box"),
    ("{prog} --config configs/flickr8k.yaml --epochs 3", "a recipe, with another number of epochs"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell train`."""
    run = add_run_arguments(parser)
    run.add_argument("--resume", action="store_true", help="go on with the run that was stopped or killed")


def run(parser: Parser, args: Namespace) -> None:
    """Train."""
    config = to_run_config(
        parser, args
    )  # mistakes are reported before torch is imported, which takes seconds
    from showtell.commands.shared.training_run import train

    train(config, resume=args.resume)
