"""Print a script with which a shell completes commands, options, values and file names with the Tab key.

bash: write it to ~/.local/share/bash-completion/completions/showtell. zsh: to _showtell in a folder of fpath.
fish: to ~/.config/fish/completions/showtell.fish. Then open a new shell.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args

from jsonargparse import Namespace

from showtell.commands.shared.options import add_general
from showtell.commands.shared.parser import Parser, choices_of, shown_actions, shown_names

Shell = Literal["bash", "zsh", "fish"]

EXAMPLES: Final = (
    ("{prog} bash > ~/.local/share/bash-completion/completions/showtell", "for bash"),
    ("{prog} fish > ~/.config/fish/completions/showtell.fish", "for fish"),
)
_PROGRAM: Final = "showtell"
_FOLDERS: Final = ("FOLDER",)
_FILES: Final = ("FILE", "PATH", "PHOTO", "SOURCE", "MODEL", "RUN", "NAME")
"""Metavars of options that take paths."""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell completion`."""
    parser.add_argument("shell", type=Shell, metavar="|".join(get_args(Shell)), help="which shell")


def run(parser: Parser, args: Namespace) -> None:  # noqa: ARG001 - all commands are called alike
    """Print the script."""
    print(completion_script(args.shell))


def completion_script(shell: Shell) -> str:
    """The script for a shell."""
    import shtab

    return shtab.complete(_whole_parser(), shell)


def _whole_parser() -> argparse.ArgumentParser:
    """All commands with their shown options as one parser of argparse, which shtab reads."""
    whole = argparse.ArgumentParser(_PROGRAM)
    whole.add_argument("-V", "--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    for name, module in _commands():
        description = module.__doc__.strip().partition("\n\n")[0]
        own = Parser(f"{_PROGRAM} {name}", description)
        module.add_arguments(own)
        add_general(own)
        _copy(own, commands.add_parser(name, help=" ".join(description.split())))
    return whole


def _commands() -> Iterator[tuple[str, Any]]:
    """Name and module of each command."""
    package = importlib.import_module("showtell.commands")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.ispkg:
            yield module.name, importlib.import_module(f"{package.__name__}.{module.name}")


def _copy(source: Parser, target: argparse.ArgumentParser) -> None:
    """Add the shown options and sub-commands of a parser to one of argparse."""
    for action in shown_actions(source):
        parts = getattr(action, "_name_parser_map", None)
        if parts:
            inner = target.add_subparsers()
            for name, part in parts.items():
                _copy(part, inner.add_parser(name, help=part.description))
        elif not isinstance(action, argparse._HelpAction):
            _add(target, shown_names(action) or [action.dest], action)


def _add(target: argparse.ArgumentParser, names: list[str], action: argparse.Action) -> None:
    """Add an option, or a positional argument, with what completes its value."""
    import shtab

    summary = " ".join((action.help or "").split())
    if action.nargs == 0:
        target.add_argument(*names, action="store_true", help=summary)
        return
    metavar = str(action.metavar or "")
    copied: Any = target.add_argument(
        *names, nargs=action.nargs, help=summary, choices=choices_of(action) or None
    )
    if metavar.strip("[]") in _FOLDERS:
        copied.complete = shtab.DIRECTORY
    elif metavar in _FILES:
        copied.complete = shtab.FILE
