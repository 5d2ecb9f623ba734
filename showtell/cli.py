"""The `showtell` command. The scripts at the root of the repository are thin over it."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Sequence
from typing import Any

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader

from showtell import __version__
from showtell.commands.logs import log_to_screen
from showtell.errors import ShowtellError
from showtell.printable import one_line
from showtell.yaml_files import check_aliases

COMMANDS = {
    "preprocess": "annotations -> vocabulary, splits, statistics page, cached features",
    "train": "train a captioner, on drawn scenes or on your photos",
    "tune": "search hyperparameters on a part of the training photos",
    "caption": "caption photos",
    "evaluate": "measure captions: of a model, or of a file of predictions",
    "alt": "alt text for pictures of pages, and of photo libraries",
    "export": "a model as fast graphs that need no PyTorch, or as a folder for the hub",
    "scale": "captions or features of millions of pictures, on one machine or many",
    "serve": "captions over HTTP, and a page to drop photos on",
    "report": "a page with scores, curves and every photo with its captions",
}
"""Each is a module in showtell.commands with `add_arguments(parser)` and `run(args)`."""


def main(argv: Sequence[str] | None = None, *, prog: str = "showtell") -> int:
    """Run a sub-command.

    Args:
        argv: its name and arguments; by default those of the process.
        prog: name of the program in its help.

    Returns:
        Exit code: 0 for success, 1 for failure, 2 for misuse, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        print(f"showtell {__version__}")
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        return _usage(arguments, prog)
    return run_command(arguments[0], arguments[1:], prog=f"{prog} {arguments[0]}")


def run_command(name: str, argv: Sequence[str], *, prog: str) -> int:
    """Run the sub-command `name`; errors become one line on the screen and an exit code."""
    command: Any = importlib.import_module(f"showtell.commands.{name}")
    parser = ArgumentParser(prog=prog, description=command.__doc__.strip().split("\n\n")[0])
    command.add_arguments(parser)
    set_loader("yaml", _load_yaml, (yaml.YAMLError,))
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    debug = "--debug" in argv
    log_to_screen(debug)
    try:
        args = parser.parse_args(list(argv))
        return int(command.run(parser, args) or 0)
    except ShowtellError as error:
        return _fail(error, error.exit_code, debug)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has left
        sys.stderr.close()
        return 0
    except Exception as error:
        return _fail(error, 1, debug)


_jsonargparse_load = get_loader("yaml")


def _load_yaml(text: str) -> Any:
    """Values of an argument, or of the file of `--config`."""
    check_aliases(text)
    return _jsonargparse_load(text)


def _usage(arguments: Sequence[str], prog: str) -> int:
    asked = bool({"-h", "--help"} & set(arguments[:1])) or not arguments
    stream = sys.stdout if asked else sys.stderr
    lines = [f"  {name:<12}{text}" for name, text in COMMANDS.items()]
    print(f"usage: {prog} COMMAND [--help] ...", *lines, sep="\n", file=stream)
    if not asked:
        print(f"{prog}: unknown command {arguments[0]!r}", file=stream)
    return 0 if asked else 2


def _fail(error: Exception, code: int, debug: bool) -> int:
    if debug:
        logging.getLogger("showtell").exception("failed")
    text = one_line(" ".join(str(error).split())) or type(error).__name__
    if not isinstance(error, ShowtellError):
        text = f"{type(error).__name__}: {text} (unexpected; run again with --debug to see where)"
    print(f"error: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
