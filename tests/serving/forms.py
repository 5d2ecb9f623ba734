"""Photos in the forms of requests, and requests in the background."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

from httpx2 import Response
from starlette.testclient import TestClient

Files = list[tuple[str, tuple[str, bytes, str]]]


def files(*paths: Path, name: str = "images") -> Files:
    return [(name, (path.name, path.read_bytes(), "image/jpeg")) for path in paths]


def as_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def ask_in_background(client: TestClient, sent: Files, results: list[int]) -> threading.Thread:
    def ask() -> None:
        results.append(client.post("/v1/captions", files=sent).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def post_until(client: TestClient, sent: Files, status: int, *, tries: int = 30) -> Response:
    """Send photos until the answer has this status: a busy machine may be late, which is 503."""
    for _ in range(tries):
        response = client.post("/v1/captions", files=sent)
        if response.status_code == status:
            return response
        assert response.status_code == 503, response.text
    raise AssertionError(f"{tries} times not {status}")
