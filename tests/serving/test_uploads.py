"""Uploads: what is refused in one line, the limits, and that nothing touches the disk."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from showtell.serving.refusals import RefusedError
from showtell.serving.uploads import UploadBudget
from tests.serving.conftest import Gate, StartService
from tests.serving.forms import ask_in_background, files


@pytest.mark.parametrize(
    ("content", "kind", "status", "detail"),
    [
        (b"", "", 415, "send photos as multipart/form-data"),
        (b"x", "image/jpeg", 415, "send photos as multipart/form-data"),
        (b"x", "multipart/form-data", 400, "boundary"),
        (b"x", "multipart/form-data; boundary=b", 400, "multipart"),
        (b'--b\r\ncontent-disposition: form-data; name="images"; filename="', "", 415, "send"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422, "no photos"),
        (b"{", "application/json", 422, "body: Invalid JSON"),
        (b"[" * 100_000, "application/json", 422, "body: Invalid JSON"),
        (b"{}", "application/json", 422, "images: Field required"),
        (b'{"images": []}', "application/json", 422, "images: List should have at least 1"),
        (b'{"images": ["////"], "url": 1}', "application/json", 422, "url: Extra inputs"),
        (b'{"images": ["////"], "beam_size": 11}', "application/json", 422, "beam_size"),
        (b'{"images": ["////"], "beam_size": "3"}', "application/json", 422, "valid integer"),
        (b'{"images": ["////"], "num_captions": 0}', "application/json", 422, "num_captions"),
        (b'{"images": ["####"]}', "application/json", 422, "images.0: not base64"),
        ('{"images": ["ÄÄÄÄ"]}'.encode(), "application/json", 422, "images.0: not base64"),
        (b'{"images": ["data:,abc"]}', "application/json", 422, "has to end its head with ;base64"),
        (b'{"images": ["////"]}', "application/json", 422, "images.0: not an image of a known format"),
    ],
)
def test_a_malformed_request_is_refused_in_one_line(
    shared_client: TestClient, content: bytes, kind: str, status: int, detail: str
) -> None:
    response = shared_client.post("/v1/captions", content=content, headers={"content-type": kind})
    assert response.status_code == status
    assert detail in response.json()["detail"]
    assert "\n" not in response.json()["detail"]


def test_unknown_and_repeated_fields_are_refused(shared_client: TestClient, snippets: list[Path]) -> None:
    sent = files(snippets[0])
    assert shared_client.post("/v1/captions", files=sent, data={"url": "x"}).status_code == 422
    assert shared_client.post("/v1/captions", files=sent, data={"beam_size": ["2", "3"]}).status_code == 422
    assert shared_client.post("/v1/captions", files=files(snippets[0], name="file")).status_code == 422


def test_limits_of_bytes_pixels_and_images(start: StartService, snippets: list[Path]) -> None:
    size = snippets[0].stat().st_size
    client = start(max_bytes=size, max_images=2, max_pixels=6399, max_request_bytes=8 * size)
    larger = next(path for path in snippets if path.stat().st_size > size)
    for response, status, detail in (
        (client.post("/v1/captions", files=files(larger)), 413, "the photo is larger than"),
        (client.post("/v1/captions", files=files(*[snippets[0]] * 3)), 422, "more than 2 photos"),
        (client.post("/v1/captions", json={"images": ["////"] * 3}), 422, "more than 2 photos"),
        (client.post("/v1/captions", content=b"x" * 9 * size), 413, "the request is larger than"),
        (client.post("/v1/captions", files=files(snippets[0])), 422, "more than 6399 pixels"),
    ):
        assert response.status_code == status, response.text
        assert detail in response.json()["detail"]


def test_a_body_of_unknown_length_is_limited_too(start: StartService) -> None:
    client = start(max_bytes=1000, max_request_bytes=2000)
    chunks = (b"x" * 500 for _ in range(1000))
    response = client.post(
        "/v1/captions", content=chunks, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    assert response.status_code == 413


def test_nothing_is_written_to_the_disk(
    shared_client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_arguments: object, **_settings: object) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", forbidden)
    monkeypatch.setattr(tempfile, "TemporaryFile", forbidden)
    stream = io.BytesIO()
    Image.effect_noise((1500, 1500), 99).save(stream, "PNG")  # larger than Starlette keeps in memory
    assert len(stream.getvalue()) > 2**20
    sent = [("images", ("../../etc/evil.png", stream.getvalue(), "image/png"))]
    response = shared_client.post("/v1/captions", files=sent)
    assert response.status_code == 200
    assert "evil" not in response.text


def test_metadata_is_not_echoed(shared_client: TestClient) -> None:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[270] = "secret words"
    Image.new("RGB", (64, 64), "red").save(stream, "JPEG", exif=exif, comment=b"secret words")
    response = shared_client.post("/v1/captions", files=[("images", ("secret.jpg", stream.getvalue()))])
    assert response.status_code == 200
    assert "secret" not in response.text + str(response.headers)


def test_uploads_share_a_memory_limit(
    start: StartService, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    size = snippets[0].stat().st_size
    client = start(max_bytes=size, max_request_bytes=2 * size, upload_memory=2 * size)
    held, results = gate(), list[int]()
    first = ask_in_background(client, files(snippets[0]), results)
    assert held.reached.wait(60)
    refused = client.post("/v1/captions", files=files(snippets[0]))
    assert refused.status_code == 503
    assert "retry-after" in refused.headers
    held.open()
    first.join(60)
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 200


def test_memory_of_requests_is_given_back_whatever_they_end_with() -> None:
    async def fail(budget: UploadBudget) -> None:
        async with budget.reserve() as reservation:
            reservation.add(10)
            raise ZeroDivisionError

    async def use() -> None:
        budget = UploadBudget(10)
        async with budget.reserve() as first:
            first.add(6)
            first.add(2)
            async with budget.reserve() as second:
                second.add(2)
                with pytest.raises(RefusedError, match="too many large requests") as refused:
                    second.add(1)
                assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "2"})
                assert budget.used == 10
            assert budget.used == 8
        with pytest.raises(ZeroDivisionError):
            await fail(budget)
        assert budget.used == 0

    asyncio.run(use())
