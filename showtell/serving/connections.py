"""Connections: fewer than the system lets a process open, and none that is idle keeps another one out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 1024
"""Maximum number of connections, if the limit of open files allows it."""
ACCEPTED_AT_ONCE: Final = 16
"""Connections that are accepted before the first of them is counted; a few times as many are open at most."""
KEPT_FOR_HEALTH: Final = 16
"""Connections that are not given to other requests than those for the state of the service."""
_RESERVE: Final = 256
"""Open files that are left for all else: accepted connections, decoders, the model's files."""
_REPEAT: Final = 60.0
"""Minimum number of seconds between two log lines with the same message."""


def fit_connections(wanted: int = MAX_CONNECTIONS) -> int:
    """Raise the limit of open files as far as is needed and allowed.

    Args:
        wanted: connections.

    Returns:
        The connections that may be open; a warning is logged if that is less.
    """
    try:
        import resource
    except ImportError:  # Windows
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _RESERVE
    if soft != resource.RLIM_INFINITY and soft < needed:
        new = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
            soft = new
        except (OSError, ValueError):  # the system has a lower one of its own
            pass
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = max(soft - _RESERVE, soft // 2)
    log.warning(
        "this process may open %d files: %d connections at most; raise it with ulimit -n %d",
        soft,
        most,
        needed,
    )
    return most


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 of uvicorn with limits; see `bounded_protocol`.

    What is no HTTP ends with 400 or without an answer, and without a line in the log.
    """

    most: ClassVar[int]
    header_seconds: ClassVar[float]
    waiting: ClassVar[dict[BoundedProtocol, None]]  # connections without a request, in the order they came
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection; if there are too many, one that waits longest for its request is closed."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            oldest = next(iter(self.waiting))
            oldest._stop_waiting()
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        super().data_received(data)
        if self._busy:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._wait()
        super().on_response_complete()
        if self._busy:  # the next one was there already
            self._stop_waiting()

    def handle_events(self) -> None:
        """Handle what has come; what cannot be answered any more ends the connection."""
        try:
            super().handle_events()
        except h11.ProtocolError:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; a request that it is a part of is over."""
        answered = self._busy and self.cycle.response_started
        if self._busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if answered:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _should_upgrade(self) -> bool:
        return False

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._stop_waiting()
        self.waiting[self] = None
        self._timer = self.loop.call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._stop_waiting()
        self.transport.abort()


def bounded_protocol(most: int, header_seconds: float) -> type[BoundedProtocol]:
    """The protocol of a server.

    Args:
        most: connections at a time; for another one, that which waits longest for its request is closed.
        header_seconds: until the headers of a request have to be there.
    """
    settings = {"most": most, "header_seconds": header_seconds, "waiting": {}}
    return type("Protocol", (BoundedProtocol,), settings)


class QuietFilter(logging.Filter):
    """Leaves out lines of uvicorn's log of which any client can cause as many as it likes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        return record.getMessage() != "Invalid HTTP request received."


class AcceptErrors:
    """An event loop's exception handler: it logs once a minute that no connection can be accepted."""

    def __init__(self) -> None:
        self._told = -_REPEAT

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handle an exception that nobody waits for."""
        if not str(context.get("message", "")).startswith("socket.accept()"):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._told >= _REPEAT:
            self._told = time.monotonic()
            log.error("no connection can be accepted: %s; raise ulimit -n", context.get("exception"))
