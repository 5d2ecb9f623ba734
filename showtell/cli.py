"""The `showtell` command. The scripts at the root of the repository are thin over it."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from typing import Any

from showtell import __version__
from showtell.commands.shared.logging import log_to_screen
from showtell.commands.shared.options import add_general, computing_on, name_last
from showtell.commands.shared.parser import Parser, suggest
from showtell.errors import ShowtellError, UsageError, one_line

COMMANDS = {
    "data": "list, check, download and convert caption datasets",
    "preprocess": "build the vocabulary, splits, statistics page and feature cache",
    "train": "train a captioner on synthetic scenes or on your photos",
    "tune": "tune hyperparameters with Optuna",
    "caption": "caption photos",
    "evaluate": "score a model's captions, or a file of predictions",
    "alt": "write alt text into web pages and photo libraries",
    "export": "export a model to ONNX Runtime, OpenVINO or a Hugging Face hub folder",
    "scale": "caption millions of photos, or extract their features",
    "serve": "serve captions over HTTP, with a web page",
    "models": "list the available models with their data, scores and sizes",
    "doctor": "check the installation and suggest fixes",
    "completion": "print a completion script for bash, zsh or fish",
    "report": "write an HTML report: scores, training curves, every photo",
}
"""Each is a module in showtell.commands with `EXAMPLES`, `add_arguments(parser)` and `run(parser, args)`."""

HELP = ("-h", "--help")
VERSION = ("-V", "--version")


def main(argv: Sequence[str] | None = None, *, prog: str = "showtell") -> int:
    """Run a sub-command.

    Args:
        argv: its name and arguments; by default those of the process.
        prog: name of the program in its help.

    Returns:
        Exit code: 0 for success, 1 for failure, 2 for misuse, 130 after Ctrl-C.
    """
    name, *rest = list(sys.argv[1:] if argv is None else argv) or ["help"]
    if name == "help" and rest:
        name, rest = rest[0], [*rest[1:], "--help"]
    if name in COMMANDS:
        return run_command(name, rest, prog=f"{prog} {name}")
    if name in VERSION:
        print(f"showtell {__version__}")
    elif name == "help" or name in HELP:
        print(_overview(prog))
    else:
        what = "option" if name.startswith("-") else "command"
        hint = suggest(name, [*COMMANDS, "help", "--help", "--version"]) or f"; see {prog} help"
        return _fail(UsageError(f"{name}: no such {what}{hint}"), debug=False)
    return 0


def run_command(name: str, argv: Sequence[str], *, prog: str) -> int:
    """Run the sub-command `name`; errors become one line on the screen and an exit code."""
    if argv and argv[0] in VERSION:
        print(f"showtell {__version__}")
        return 0
    debug, quiet = "--debug" in argv, bool({"-q", "--quiet"} & set(argv))
    log_to_screen(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    try:
        command: Any = importlib.import_module(f"showtell.commands.{name}")
        parser = Parser(prog, command.__doc__.strip().partition("\n\n")[0], command.EXAMPLES)
        command.add_arguments(parser)
        add_general(parser)
        args = parser.parse(argv)
        chosen = args[args.subcommand] if args.get("subcommand") else args
        name_last(chosen)
        with computing_on(chosen.get("device", "auto")):
            return int(command.run(parser, args) or 0)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has left
        sys.stderr.close()
        return 0
    except Exception as error:
        return _fail(error, debug=debug)


def _overview(prog: str) -> str:
    return "\n".join(
        [
            f"usage: {prog} COMMAND [OPTION ...]",
            "",
            *(f"  {name:<12}{text}" for name, text in COMMANDS.items()),
            "",
            f"{prog} help COMMAND explains one; {prog} --version; documents: docs/",
        ]
    )


def _fail(error: Exception, *, debug: bool) -> int:
    """Print an error in one line (with --debug also its traceback); returns the exit code."""
    if debug:
        logging.getLogger("showtell").error("failed", exc_info=error)
    text = one_line(" ".join(str(error).split())) or type(error).__name__
    if not isinstance(error, ShowtellError):
        text = f"{type(error).__name__}: {text} (unexpected; run again with --debug to see where)"
    print(f"error: {text}", file=sys.stderr)
    return error.exit_code if isinstance(error, ShowtellError) else 1


if __name__ == "__main__":
    raise SystemExit(main())
