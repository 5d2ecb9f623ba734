"""Serving a model, with or without a review of captions: for `showtell serve` and `showtell alt --review`."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jsonargparse import Namespace

from showtell.checkpoints.names import split_ensemble
from showtell.commands.shared.options import load_model
from showtell.config import ServingConfig
from showtell.errors import UsageError

if TYPE_CHECKING:  # it needs an extra
    from showtell.serving.review.session import Review

log = logging.getLogger(__name__)

LOCAL_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches; the first is the default."""
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


def listen(bind: Callable[[str, int], socket.socket], host: str, port: int) -> socket.socket:
    """A socket at an address.

    Args:
        bind: makes it.
        host: to listen at.
        port: to listen at.

    Raises:
        UsageError: the address cannot be used.
    """
    try:
        return bind(host, port)
    except OSError as error:
        raise UsageError(
            f"cannot listen at {host}:{port} ({error.strerror}); choose another --host or --port"
        ) from error


def serve_model(
    args: Namespace, config: ServingConfig, token: str | None = None, review: Review | None = None
) -> int:
    """Serve a model in this process; returns 1 if it never took requests.

    Args:
        args: with `host` (default: this machine only), `port`, `debug` and those of a model.
        config: the limits.
        token: that requests have to send, if any.
        review: of captions, if one is asked for; others than this machine then need the token.

    Raises:
        UsageError: the address cannot be used, or the extra is not installed.
    """
    host = args.get("host", LOCAL_HOSTS[0])
    if review and token is None and host not in LOCAL_HOSTS:
        raise UsageError(
            f"--host {host}: whoever reaches it would see your photos; set {TOKEN_VARIABLE} to ask for a"
            " token"
        )
    with serving_extra():
        from showtell.serving.server import bind
    return serve_at(listen(bind, host, args.port), args, config, token, review=review)


def serve_at(
    listener: socket.socket,
    args: Namespace,
    config: ServingConfig,
    token: str | None,
    *,
    review: Review | None = None,
    on_ready: Callable[[], object] = lambda: None,
) -> int:
    """Load the model and serve it at a socket; `on_ready` is called when it takes requests."""
    from showtell.serving import create_app
    from showtell.serving.server import serve

    app = create_app(
        load_model(args),
        "+".join(Path(name).name for name in split_ensemble(args.model)),
        config,
        token=token,
        cors_origins=tuple(args.get("cors_origin", ())),
        review=review,
        hosts=(args.get("host", LOCAL_HOSTS[0]),),
    )
    if review:
        log.info(
            "review: %d photos to decide on, %d decided before; saved to %s",
            len(review.items),
            review.decided_before,
            review.output,
        )
    try:
        served = serve(app, listener, time_limit=config.time_limit, debug=args.debug, on_ready=on_ready)
    finally:
        if review:
            _tell(review)
    return 0 if served else 1


def _tell(review: Review) -> None:
    saved, skipped = review.counts()
    log.info("review: %d saved to %s, %d skipped", saved, review.output, skipped)
    if saved:
        log.info("use them: %s", review.then)
