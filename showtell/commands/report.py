"""Write an HTML report: scores, training curves, and every photo with its captions.

The report is one self-contained HTML file. The options are those of `evaluate`.
"""

from __future__ import annotations

from typing import Final

from jsonargparse import Namespace

from showtell.commands.shared import evaluation_options
from showtell.commands.shared.parser import Parser
from showtell.reporting.run import report

EXAMPLES: Final = (
    ("{prog} --data flickr8k", "a page on the validation photos of a dataset"),
    ("{prog} --model runs/mine --against everyday", "two models side by side, on the data of the run"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell report`."""
    evaluation_options.add_arguments(parser)


def run(parser: Parser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Report."""
    evaluation_options.check_out(args)
    print(
        report(
            args.model, evaluation_options.data_of(args), out=args.out, **evaluation_options.settings_of(args)
        )
    )
