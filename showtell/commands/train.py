"""Train a captioner. Without arguments: on synthetic scenes, end to end in a few minutes.

The run's folder gets the whole model whenever the validation loss decreases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from jsonargparse import Namespace

from showtell.checkpoints.run_folder import find_run, last_run
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.run_options import add_run_arguments, to_run_config
from showtell.errors import UsageError
from showtell.utils.runs import CONFIG

EXAMPLES: Final = (
    ("{prog} --data my_photos/ --out runs/mine", "on your photos, from the included model"),
    ("{prog} --config configs/flickr8k.yaml --epochs 3", "a recipe, with another number of epochs"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell train`."""
    run = add_run_arguments(parser)
    run.add_argument(
        "--resume",
        nargs="?",
        type=str | None,
        const="",
        metavar="RUN",
        help="resume an interrupted run with its own settings: its folder, `last` for the newest, or without"
        " a value the one in --out",
    )


def run(parser: Parser, args: Namespace) -> None:
    """Train."""
    folder = None
    if args.resume is not None:
        folder = _resumed_folder(parser, args)
        args = parser.parse(["--config", str(folder / CONFIG), *parser.given])
    config = to_run_config(
        parser, args
    )  # mistakes are reported before torch is imported, which takes seconds
    from showtell.commands.shared.training_run import train

    train(config, resume=folder)


def _resumed_folder(parser: Parser, args: Namespace) -> Path:
    """The folder of the run that --resume or --out names.

    Raises:
        UnknownModelError: there is none.
        UsageError: the two name different ones.
    """
    if not args.resume:
        return last_run(Path(args.out))
    folder = find_run(args.resume)
    if "--out" in {argument.partition("=")[0] for argument in parser.given} and Path(args.out) != folder:
        raise UsageError(f"--out {args.out}: --resume continues {folder}; leave one of the two out")
    return folder
