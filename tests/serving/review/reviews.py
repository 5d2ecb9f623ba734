"""Reviews that are opened over HTTP, and the table that they write."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from starlette.testclient import TestClient

from showtell.serving.review import Review

Open = Callable[..., TestClient]
JSON = {"Content-Type": "application/json"}


def put(client: TestClient, number: int, caption: str | None) -> dict[str, object]:
    response = client.put(f"/v1/review/{number}", json={"caption": caption})
    assert response.status_code == 200, response.text
    return response.json()  # type: ignore[no-any-return]


def table(folder: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO((folder / "captions.csv").read_text(encoding="utf-8"))))


def names(review: Review) -> list[str]:
    return [item.name for item in review.items]
