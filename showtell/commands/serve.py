"""Serve captions over HTTP, with a page to drop photos on, at http://127.0.0.1:8000.

POST /v1/captions takes images, /docs tells how. Requests are captioned together, within limits. On Ctrl-C
or SIGTERM what was taken is finished. Give a token (SHOWTELL_TOKEN or --token-file) and put a proxy with TLS
before it where others than you can reach it. With --review the page proposes captions for the photos of a
folder; what is accepted or corrected is saved at once to captions.csv, which training reads.
"""

from __future__ import annotations

import logging
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonargparse import Namespace

from showtell.commands.shared.options import add_model_options, naming_options
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.service import TOKEN_VARIABLE, serve_model, serving_extra
from showtell.commands.shared.settings import add_plain_settings
from showtell.config import ServingConfig
from showtell.data.transforms import check_image_size
from showtell.errors import UsageError

if TYPE_CHECKING:
    from showtell.serving.review.session import Review

log = logging.getLogger(__name__)

_LIMITS: Final = tuple(field.name for field in fields(ServingConfig))
EXAMPLES: Final = (
    ("{prog}", "at http://127.0.0.1:8000, for this machine"),
    ("{prog} --review photos/", "accept, correct or skip captions of your photos, to train on"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell serve`."""
    add_model_options(parser)
    add = parser.add_argument_group("address").add_argument
    add(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0 for all that others can reach",
    )
    add("--port", metavar="N", type=int, default=8000, help="port to listen at; 0 for any that is free")
    add("--token-file", metavar="FILE", help=f"the access token is in this file (or in {TOKEN_VARIABLE})")
    add(
        "--cors-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="a web site whose pages may use the service, such as https://example.org; may be repeated",
    )
    add = parser.add_argument_group("review").add_argument
    add(
        "--review",
        metavar="FOLDER",
        help="review proposed captions of the photos of this folder, by keyboard",
    )
    add(
        "--review-output",
        metavar="FILE.csv",
        help="file of the review's captions, whose photos are not shown again; default: captions.csv in the"
        " folder",
    )
    add_plain_settings(parser, ServingConfig, "serving", _LIMITS, title="limits")


def run(parser: Parser, args: Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        UsageError: an argument is out of range, the port is taken, or the extra is not installed.
    """
    with naming_options("serving"):
        config = ServingConfig(**{name: args[name] for name in _LIMITS})
    if not 0 <= args.port < 2**16:
        raise UsageError(f"--port must be 0 to {2**16 - 1}")
    check_image_size(args.image_size)
    token = _token(args.token_file)
    review = _review(args)
    if review is None:
        return serve_model(args, config, token)
    with review.alone():
        return serve_model(args, config, token, review)


def _review(args: Namespace) -> Review | None:
    if args.review is None:
        if args.review_output is not None:
            raise UsageError("--review-output needs --review FOLDER")
        return None
    with serving_extra():
        from showtell.serving.review.session import review_folder
    return review_folder(Path(args.review), Path(args.review_output) if args.review_output else None)


def _token(file: str | None) -> str | None:
    """The access token, from the file or the environment: arguments can be read by other users."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: cannot be read ({error})") from error
    if not token:
        raise UsageError(f"--token-file {file}: it is empty; write the token into it")
    return token
