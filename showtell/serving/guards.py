"""What stands before every route: security headers, the token, and the count of requests."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The content security policy of answers that are no pages."""
HEADERS: Final = {
    "Content-Security-Policy": NOTHING,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Headers of every answer that does not set them itself."""


class Watch:
    """Counts and times every request, adds `HEADERS`, and turns an unforeseen error into one line.

    Args:
        app: what is watched.
        count: called with route, status and seconds.
        closing: whether the service is shutting down; answers then say that they are the connection's last.
    """

    def __init__(
        self, app: ASGIApp, count: Callable[[str, int, float], None], closing: Callable[[], bool]
    ) -> None:
        self.app, self.count, self.closing = app, count, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if self.closing():
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self.app(scope, receive, send_guarded)
        except Exception:
            log.exception("unexpected error")
            if not status:
                await answer(send_guarded, 500, "unexpected error; it was logged")
        finally:
            route = getattr(
                scope.get("route"), "path", "other"
            )  # as declared: what is sent could be anything
            self.count(route, status, time.monotonic() - start)


class RequireToken:
    """Lets requests to `prefixes` pass only with `Authorization: Bearer <token>`.

    The comparison takes the same time wherever the two differ, and however long they are.
    """

    def __init__(self, app: ASGIApp, token: str, prefixes: tuple[str, ...]) -> None:
        self.app, self.prefixes = app, prefixes
        self._digest = hashlib.sha256(token.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse (401)."""
        if scope["type"] == "http" and scope["path"].startswith(self.prefixes) and not self._knows(scope):
            await answer(send, 401, "send the access token: Authorization: Bearer TOKEN")
            return
        await self.app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        kind, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("latin-1")).digest()
        return hmac.compare_digest(digest, self._digest) and kind.lower() == "bearer"


async def answer(send: Send, status: int, detail: str) -> None:
    """Send a `Problem`."""
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
