"""Serve captions over HTTP, with a page to drop photos on, at http://127.0.0.1:8000.

POST /v1/captions takes images; /docs documents the API. Photos of concurrent requests are batched. On Ctrl-C
or SIGTERM the service finishes the accepted requests and exits. If other machines can reach it, require a
token (SHOWTELL_TOKEN or --token-file) and put a TLS proxy in front of it. With --review, the page proposes
captions for the photos of a folder; accepted and corrected captions are saved at once to captions.csv, which
training reads.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import fields
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonargparse import Namespace

from showtell.commands.shared.logging import log_to_screen
from showtell.commands.shared.options import add_model_options, naming_options
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.service import (
    LOCAL_HOSTS,
    TOKEN_VARIABLE,
    listen,
    serve_at,
    serve_model,
    serving_extra,
)
from showtell.commands.shared.settings import add_plain_settings
from showtell.config import ServingConfig
from showtell.data.transforms import check_image_size
from showtell.errors import ShowtellError, UsageError

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
        help="address to listen at; 0.0.0.0: all addresses of this machine",
    )
    add("--port", metavar="N", type=int, default=8000, help="port to listen at; 0 for any that is free")
    add(
        "--workers",
        metavar="N",
        type=int,
        default=1,
        help="processes that serve at the port, each with a model of its own; one that dies is restarted",
    )
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
    if args.workers < 1:
        raise UsageError("--workers must be at least 1")
    check_image_size(args.image_size)
    token = _token(args.token_file)
    review = _review(args)
    if review:
        with review.alone():
            return serve_model(args, config, token, review)
    with serving_extra():
        from showtell.serving.server import bind
        from showtell.serving.workers import Workers, reserve_port
    listener = listen(bind if args.workers == 1 else reserve_port, args.host, args.port)
    if token is None and args.host not in LOCAL_HOSTS:
        log.warning("whoever reaches %s may use it: set %s to ask for a token", args.host, TOKEN_VARIABLE)
    if args.workers == 1:
        return serve_at(listener, args, config, token)
    with listener:
        return Workers(_worker, args, listener.getsockname()[1], args.workers).run()


def _review(args: Namespace) -> Review | None:
    """The review that the arguments ask for, if they do."""
    if args.review is None:
        if args.review_output is not None:
            raise UsageError("--review-output needs --review FOLDER")
        return None
    if args.workers != 1:
        raise UsageError("--review is served by one process; leave out --workers")
    with serving_extra():
        from showtell.serving.review.session import review_folder
    return review_folder(Path(args.review), Path(args.review_output) if args.review_output else None)


def _worker(args: Namespace, port: int, ready: Event) -> None:
    """One of several processes: what `run` does, at a port that it shares."""
    from showtell.serving.server import bind
    from showtell.serving.workers import follow_parent

    follow_parent()
    log_to_screen(logging.DEBUG if args.debug else logging.WARNING if args.quiet else logging.INFO)
    config = ServingConfig(**{name: args[name] for name in _LIMITS})
    try:
        listener = bind(args.host, port, shared=True)
        code = serve_at(listener, args, config, _token(args.token_file), on_ready=ready.set)
    except ShowtellError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    sys.exit(code)


def _token(file: str | None) -> str | None:
    """The access token, from the file or the environment: arguments can be read by other users."""
    if file is None:
        return (os.environ.get(TOKEN_VARIABLE) or "").strip() or None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file {file}: cannot be read ({error})") from error
    if not token:
        raise UsageError(f"--token-file {file}: it is empty; write the token into it")
    return token
