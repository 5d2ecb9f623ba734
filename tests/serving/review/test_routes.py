"""Reviews over HTTP: photos by number only, decisions, and who may decide."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from showtell.serving.review import review_folder
from tests.serving.review.reviews import JSON, Open, put, table


def test_a_photo_is_shown_proposed_and_decided(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder), proposes=True)
    state = client.get("/v1/review").json()
    assert (state["total"], state["saved"], state["next"]) == (3, 0, 0)
    photo = client.get("/v1/review/2").json()
    assert photo["name"] == "sub/two, é.jpg"
    assert photo["error"] is None
    assert len(photo["proposals"]) == 3
    shown = client.get("/v1/review/2/photo")
    assert shown.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(shown.content)).size == (80, 80)
    assert put(client, 0, "  a\ndog ")["next"] == 1
    assert put(client, 1, None)["next"] == 2
    assert table(folder)[1:] == [["0000.jpg", "a dog"]]
    assert client.get("/v1/review/0").json()["caption"] == "a dog"
    assert put(client, 2, "a cat")["next"] is None
    state = client.delete("/v1/review/0").json()
    assert (state["saved"], state["skipped"], state["next"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"caption": ""}', 422),
        (b'{"caption": "..."}', 422),
        (b'{"caption": 3}', 422),
        (b"{}", 422),
        (b'{"caption": "a", "image": "/etc/passwd"}', 422),
        (b"no json", 422),
        (b'{"caption": "\\ud800 a"}', 422),
        (json.dumps({"caption": "a" * 2001}).encode(), 422),
        (json.dumps({"caption": "a" * 100_000}).encode(), 413),
    ],
)
def test_what_is_no_caption_is_refused(opened: Open, folder: Path, body: bytes, status: int) -> None:
    response = opened(review_folder(folder)).put("/v1/review/0", content=body, headers=JSON)
    assert response.status_code == status
    assert isinstance(response.json()["detail"], str)
    assert not (folder / "captions.csv").exists()


@pytest.mark.parametrize("number", ["3", "99999999999999999999", "-1", "..%2f..%2fetc%2fpasswd", "0.5"])
@pytest.mark.parametrize("what", ["", "/photo"])
def test_only_numbers_of_the_review_name_photos(opened: Open, folder: Path, number: str, what: str) -> None:
    client = opened(review_folder(folder))
    assert client.get(f"/v1/review/{number}{what}").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
    ],
)
def test_other_sites_decide_nothing(opened: Open, folder: Path, method: str, headers: dict[str, str]) -> None:
    client = opened(review_folder(folder))
    response = client.request(method, "/v1/review/0", content=b'{"caption": "x"}', headers=JSON | headers)
    assert response.status_code == 403
    assert not (folder / "captions.csv").exists()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:9", 200),
        ("testserver", 200),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("[evil", 403),
    ],
)
def test_names_that_others_point_here_see_no_photos(
    opened: Open, folder: Path, host: str, status: int
) -> None:
    client = opened(review_folder(folder))
    assert client.get("/v1/review/0/photo", headers={"Host": host}).status_code == status


def test_a_token_is_asked_for(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder), token="secret")
    for path in ("/v1/review", "/v1/review/0", "/v1/review/0/photo"):
        assert client.get(path).status_code == 401
    assert client.put("/v1/review/0", json={"caption": "a dog"}).status_code == 401
    headers = {"Authorization": "Bearer secret", "Host": "captions.example"}
    assert client.get("/v1/review/0/photo", headers=headers).status_code == 200


def test_a_photo_that_cannot_be_decoded_can_be_skipped_or_captioned(opened: Open, folder: Path) -> None:
    (folder / "0000.jpg").write_bytes(b"no photo")
    client = opened(review_folder(folder), proposes=True)
    photo = client.get("/v1/review/0").json()
    assert photo["proposals"] == []
    assert "not an image of a known format" in photo["error"]
    assert client.get("/v1/review/0/photo").status_code == 422
    put(client, 0, None)


def test_limits_hold_for_photos_of_the_folder(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder), proposes=True, max_pixels=80 * 80 - 1)
    assert "too large" in client.get("/v1/review/0").json()["error"]
    assert client.get("/v1/review/0/photo").status_code == 422


def test_a_decision_that_cannot_be_saved_is_reported(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder))
    (folder / "captions.csv").mkdir()
    response = client.put("/v1/review/0", json={"caption": "a dog"})
    assert response.status_code == 500
    assert response.json()["detail"].startswith("not saved: ")
    assert client.get("/v1/review").json()["saved"] == 0


def test_a_decision_whose_sender_leaves_is_refused(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder))
    received = [{"type": "http.request", "body": b'{"capt', "more_body": True}, {"type": "http.disconnect"}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return received.pop(0) if len(received) > 1 else received[0]

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": "/v1/review/0",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"content-type", b"application/json")],
    }
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 400
    assert b"the request ended before its body did" in sent[1]["body"]
    assert not (folder / "captions.csv").exists()


def test_the_api_document_lists_the_refusals_of_a_decision(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder))
    refused = client.put("/v1/review/0", content=b"x", headers={"Content-Type": "text/plain"})
    assert refused.status_code == 415
    responses = client.get("/openapi.json").json()["paths"]["/v1/review/{number}"]["put"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "404", "413", "415", "422", "500", "503"}


def test_the_page_is_that_of_the_review(opened: Open, folder: Path) -> None:
    client = opened(review_folder(folder))
    page = client.get("/").text
    assert "Review captions" in page
    for name in ("review.js", "review.css", "client.js"):
        assert name in page
        assert client.get(f"/static/{name}").status_code == 200
