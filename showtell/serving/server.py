"""Run the service with uvicorn: socket, signals, graceful shutdown."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from showtell.serving.connections import (
    ACCEPTED_AT_ONCE,
    KEPT_FOR_HEALTH,
    MAX_CONNECTIONS,
    AcceptErrors,
    QuietFilter,
    bounded_protocol,
    fit_connections,
)

log = logging.getLogger(__name__)

_LAST_SECONDS: Final = 3
"""Seconds of the limit that are kept for answers and for the end of the process, if it is long enough."""
_RESERVE: Final = 1.0
"""Seconds before the limit at which the process ends whatever it does, or a tenth of a short limit."""


class _Server(uvicorn.Server):
    """Tells when it takes requests, and the service when it will take no more."""

    def __init__(self, app: FastAPI, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self.app, self.on_ready, self.ended = app, on_ready, threading.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        if not self.app.state.closing:
            limit = self.config.timeout_graceful_shutdown or 0
            seconds = limit - min(_RESERVE, limit / 10)
            self.app.state.closing, self.app.state.closing_until = True, time.monotonic() + seconds
            code = 130 if sig == signal.SIGINT else 0
            threading.Thread(target=self._end_within, args=(seconds, code), daemon=True).start()
        super().handle_exit(sig, frame)

    def _end_within(self, seconds: float, code: int) -> None:
        """End the process, and its decoders, if it has not ended by then."""
        if not self.ended.wait(seconds):
            self.app.state.kill()
            log.warning("still busy at the time limit; what is not answered is dropped")
            os._exit(code)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        asyncio.get_running_loop().set_exception_handler(AcceptErrors())
        await super().startup(sockets)
        if self.started and sockets:
            sockets[0].listen(MAX_CONNECTIONS)  # wait in the system; uvicorn's backlog is accepted at once
            host, port = sockets[0].getsockname()[:2]
            log.info("ready at http://%s:%d (documents: /docs); Ctrl-C stops", bracketed(host), port)
            self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was taken; shortly before the limit the rest is refused, so that it is answered."""
        limit = self.config.timeout_graceful_shutdown or 0
        seconds = max(limit - _LAST_SECONDS, limit / 2)
        dropping = asyncio.get_running_loop().call_later(seconds, self.app.state.drop)
        await super().shutdown(sockets)
        dropping.cancel()


def serve(
    app: FastAPI,
    listener: socket.socket,
    *,
    time_limit: float,
    debug: bool = False,
    on_ready: Callable[[], object] = lambda: None,
) -> bool:
    """Serve until Ctrl-C or SIGTERM; what was taken is finished, for up to `time_limit` seconds.

    After SIGTERM the process ends here, with exit code 0. `time_limit` seconds after a signal it has ended,
    whatever the model and the decoders do.

    Args:
        app: the service.
        listener: a bound socket.
        time_limit: seconds that requests get to finish.
        debug: log every request.
        on_ready: called when it listens.

    Returns:
        Whether it ever took requests.

    Raises:
        KeyboardInterrupt: Ctrl-C, when all is finished.
    """
    connections = fit_connections()
    app.state.max_active = max(1, connections - KEPT_FOR_HEALTH)
    config = uvicorn.Config(
        app,
        http=bounded_protocol(connections, time_limit),
        ws="none",
        backlog=ACCEPTED_AT_ONCE,
        log_level="info" if debug else "warning",
        access_log=debug,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(time_limit),
    )
    server = _Server(app, config, on_ready)
    logging.getLogger("uvicorn.error").addFilter(QuietFilter())
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of what clients send
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more at its end
    try:
        server.run(sockets=[listener])
    finally:
        server.ended.set()
        signal.signal(signal.SIGTERM, before)
        interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if not app.state.ended:  # a thread inside PyTorch would abort an orderly end of Python
            log.warning("the model is still busy at the time limit; its last batch is dropped")
        if not app.state.ended or (app.state.closing and not interrupted):
            logging.shutdown()  # Python's own end, with PyTorch, takes seconds on a busy machine
            os._exit(130 if interrupted else 0 if server.started else 1)
    return server.started


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address; it listens when the service is ready.

    Args:
        host: name or number of the address.
        port: 0 for any that is free.
        shared: let other processes of this user listen there too; connections are spread over them.

    Raises:
        OSError: there is no such address, or it is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def bracketed(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host
