"""Write a page about captions: scores, curves, and every photo with what is said of it.

One HTML file that needs nothing else, in any browser. It takes what `evaluate` takes.
"""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from showtell.commands import evaluation
from showtell.reporting.run import report


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `showtell report`."""
    evaluation.add_arguments(parser)


def run(parser: ArgumentParser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Report."""
    print(report(args.model, evaluation.data_of(args), out=args.out, **evaluation.settings_of(args)))
