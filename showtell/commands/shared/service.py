"""Serving a model, with or without a review of captions: for `showtell serve` and `showtell alt --review`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonargparse import Namespace

from showtell.commands.shared.options import load_model
from showtell.config import ServingConfig
from showtell.errors import UsageError

if TYPE_CHECKING:  # it needs an extra
    from showtell.serving.review.session import Review

log = logging.getLogger(__name__)

LOCAL: Final = "127.0.0.1"
TOKEN_VARIABLE: Final = "SHOWTELL_TOKEN"


@contextmanager
def serving_extra() -> Iterator[None]:
    """Say how to install what an import of the block lacks.

    Raises:
        UsageError: a module is not there.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"serving needs {error.name}: install it with pip install 'showtell[serve]'"
        ) from error


def serve_model(
    args: Namespace, config: ServingConfig, token: str | None = None, review: Review | None = None
) -> int:
    """Serve the model that the arguments name; returns 1 where it never took requests.

    Args:
        args: with `host` (default: this machine only), `port`, `debug` and those of a model.
        config: the limits.
        token: that requests have to send, if any.
        review: of captions, if one is asked for.

    Raises:
        UsageError: the address cannot be used, or the extra is not installed.
    """
    host = args.get("host", LOCAL)
    local = host in (LOCAL, "localhost", "::1")
    if review and token is None and not local:
        raise UsageError(
            f"--host {host}: whoever reaches it would see your photos; set {TOKEN_VARIABLE} to ask for a"
            " token"
        )
    with serving_extra():
        from showtell.serving import create_app
        from showtell.serving.server import bind, serve
    try:
        listener = bind(host, args.port)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {host}:{args.port} ({error.strerror}); choose another --host or --port"
        ) from error
    captioner = load_model(args)
    app = create_app(
        captioner,
        Path(args.model).name,
        config,
        token=token,
        cors_origins=tuple(args.get("cors_origin", ())),
        review=review,
        hosts=(host,),
    )
    if token is None and not local:
        log.warning("whoever reaches %s may use it: set %s to ask for a token", host, TOKEN_VARIABLE)
    if review:
        log.info(
            "review: %d photos to decide on, %d decided before; saved to %s",
            len(review.items),
            review.decided_before,
            review.output,
        )
    try:
        served = serve(app, listener, time_limit=config.time_limit, debug=args.debug)
    finally:
        if review:
            _tell(review)
    return 0 if served else 1


def _tell(review: Review) -> None:
    saved, skipped = review.counts()
    log.info("review: %d saved to %s, %d skipped", saved, review.output, skipped)
    if saved:
        log.info("use them: %s", review.then)
