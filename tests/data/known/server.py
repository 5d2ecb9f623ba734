"""A web server of this machine that knows ranges, and can lose connections."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served.

    Attributes:
        files: path -> content.
        ranges: whether parts of files are given.
        lose: bytes after which each of the next connections is lost.
        broken: status of the next answers, before files are given.
        asked: path and `Range` of each request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    lose: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, self.headers.get("Range")))
            content = site.files.get(self.path)
            if site.broken or content is None:
                self.send_error(site.broken.pop(0) if site.broken else 404)
                return
            start = 0
            if site.ranges and (match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
                start = int(match[1])
            if start >= len(content) > 0 and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            rest = content[start:]
            self.wfile.write(rest[: site.lose.pop(0)] if site.lose else rest)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
