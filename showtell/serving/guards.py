"""Middleware of every route: limits, security headers, the token, and the count of requests."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import json
import logging
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

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


class FinishRequests:
    """Answers HEAD as GET without a body, and closes connections whose request was not read to its end.

    Such a request is answered at once. What its client still sends is read and dropped for a moment, because
    closing a connection with unread bytes would take the answer from the client; then it is closed.

    Args:
        app: what answers.
        max_unread: maximum number of bytes that are dropped.
        seconds: maximum number of seconds for which that is done.
    """

    def __init__(self, app: ASGIApp, max_unread: int, seconds: float = 2.0) -> None:
        self.app, self.max_unread, self.seconds = app, max_unread, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        headers = Headers(scope=scope)
        unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers

        async def receive_noting_the_end() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def send_finishing(message: Message) -> None:
            if message["type"] == "http.response.start" and unread:
                MutableHeaders(scope=message)["Connection"] = "close"
            if head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            if message["type"] == "http.response.body" and unread and not message.get("more_body"):
                await send({**message, "more_body": True})
                await self._drop(receive)
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self.app({**scope, "method": "GET"} if head else scope, receive_noting_the_end, send_finishing)

    async def _drop(self, receive: Receive) -> None:
        dropped = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.seconds):
                while dropped <= self.max_unread:
                    message = await receive()
                    if message["type"] != "http.request" or not message.get("more_body"):
                        return
                    dropped += len(message.get("body", b""))


class LimitActive:
    """Refuses requests (503) if too many are under way, except those for the state of the service.

    Args:
        app: what answers.
        most: requests at a time.
        always: paths that are answered in any case.
    """

    def __init__(self, app: ASGIApp, most: Callable[[], float], always: tuple[str, ...]) -> None:
        self.app, self.most, self.always = app, most, always
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse."""
        if scope["type"] != "http" or scope["path"] in self.always:
            await self.app(scope, receive, send)
        elif self._active >= self.most():
            await answer(send, 503, "too many requests at once; try again later", {"Retry-After": "2"})
        else:
            self._active += 1
            try:
                await self.app(scope, receive, send)
            finally:
                self._active -= 1


class RefuseForeignPages:
    """Refuses what pages of other sites send (403), unless their origin is allowed.

    A browser tells where a page comes from; programs such as curl do not, and pass.

    Args:
        app: what answers.
        origins: that are allowed, such as https://example.org.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self.app, self.origins = app, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse."""
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            headers = Headers(scope=scope)
            if self._foreign(headers.get("origin"), headers.get("sec-fetch-site"), headers.get("host", "")):
                await answer(send, 403, "pages of other sites need --cors-origin ORIGIN to use this service")
                return
        await self.app(scope, receive, send)

    def _foreign(self, origin: str | None, site: str | None, host: str) -> bool:
        if origin is None or origin in self.origins or "*" in self.origins:
            return False
        if site is not None:  # says what the browser asked, whatever a proxy made of Host
            return site not in ("same-origin", "none")
        try:
            return urlsplit(origin).netloc.lower() != host.lower()
        except ValueError:  # no address
            return True


class RefuseForeignHosts:
    """Refuses requests (403) that name this service as no page of its own does (DNS rebinding).

    The name of another site can be made to lead here; a browser then takes that site's pages for this
    service's own. Addresses, `localhost` and this service's names are no such names.

    Args:
        app: what answers.
        hosts: names of this service besides `localhost` and addresses.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self.app, self.hosts = app, {"localhost", *(name.lower() for name in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse."""
        if scope["type"] == "http" and not self._knows(Headers(scope=scope).get("host", "")):
            await answer(send, 403, "open it by its address, or set a token to use this name")
            return
        await self.app(scope, receive, send)

    def _knows(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
            if name in self.hosts:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


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


async def answer(send: Send, status: int, detail: str, more: dict[str, str] | None = None) -> None:
    """Send a `Problem`, with more headers if there are any."""
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in (more or {}).items()]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
