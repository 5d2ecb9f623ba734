"""Malformed requests of every kind: none may break the service, hang it, or leave it wrong."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from showtell.captioning.captioner import Captioner
from tests.bad_images import make_broken_images, make_odd_images
from tests.serving.conftest import StartService
from tests.serving.forms import files
from tests.serving.raw import HANG, exchange
from tests.serving.service import Service, running

CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def service(model: Path) -> Iterator[Service]:
    with running(model, "--time-limit", "10", "--max-pixels", "4000000") as service:
        yield service


@pytest.fixture
def fresh(start: StartService) -> Callable[[], TestClient]:
    """One service for all examples of a test."""
    made: list[TestClient] = []

    def get() -> TestClient:
        if not made:
            made.append(start(max_pixels=4_000_000))
        return made[0]

    return get


@hypothesis.settings(max_examples=15, suppress_health_check=CALM)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(("images", "beam_size", "num_captions", "attention")) | st.text(max_size=5),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_answered(fresh: Callable[[], TestClient], body: object) -> None:
    content = json.dumps(body).encode()
    response = fresh().post("/v1/captions", content=content, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert response.json()["detail"]


@hypothesis.settings(max_examples=15, suppress_health_check=CALM)
@given(data=st.data())
def test_any_damage_to_an_image_is_answered(
    fresh: Callable[[], TestClient], photos: list[Path], data: st.DataObject
) -> None:
    image = bytearray(photos[data.draw(st.integers(0, 3))].read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    del image[data.draw(st.integers(1, len(image))) :]
    sent = [("images", ("a.jpg", bytes(image), "image/jpeg"))]
    response = fresh().post("/v1/captions", files=sent)
    assert response.status_code in (200, 422)


# ---- Over real connections


def multipart(image: bytes, boundary: bytes = b"b") -> bytes:
    head = b'Content-Disposition: form-data; name="images"; filename="a.jpg"\r\nContent-Type: image/jpeg'
    options = b'Content-Disposition: form-data; name="beam_size"\r\n\r\n2'
    parts = b"\r\n".join([b"--" + boundary, head, b"", image, b"--" + boundary, options])
    return parts + b"\r\n--" + boundary + b"--\r\n"


def request(body: bytes, kind: bytes = b"multipart/form-data; boundary=b", *headers: bytes) -> bytes:
    lines = [b"POST /v1/captions HTTP/1.1", b"Host: x", b"Content-Type: " + kind, *headers]
    if not any(header.lower().startswith((b"content-length", b"transfer")) for header in headers):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"Connection: close", b"", body])


def damaged(content: bytes, rng: random.Random, most: int = 8) -> bytes:
    """With bytes changed, cut out, repeated or inserted."""
    result = bytearray(content)
    for _ in range(rng.randint(1, most)):
        place = rng.randrange(len(result) + 1)
        match rng.randrange(4):
            case 0 if place < len(result):
                result[place] = rng.randrange(256)
            case 1:
                del result[place : place + rng.randint(1, 40)]
            case 2:
                result[place:place] = result[place : place + rng.randint(1, 40)]
            case _:
                result[place:place] = rng.randbytes(rng.randint(1, 8))
    return bytes(result)


def odd_header(rng: random.Random) -> bytes:
    return rng.choice(
        [
            b"Content-Length: -1",
            b"Content-Length: 99999999999999999999",
            b"Content-Length: abc",
            b"Content-Length: 3",
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"Content-Encoding: gzip",
            b"Expect: 100-continue",
            b"Authorization: " + rng.randbytes(20).replace(b"\n", b"").replace(b"\r", b""),
            b"X: " + b"y" * rng.randint(1, 100_000),
            b"\xff\xfe: z",
            b": no name",
            b"Range: bytes=0-0",
            b"Content-Type: multipart/form-data; boundary=" + b"z" * 300,
            b"Content-Type: multipart/form-data; charset=base64; boundary=b",
        ]
    )


def malformed(number: int, images: list[bytes], rng: random.Random) -> bytes:
    """A raw request; mostly malformed, in one of eight ways."""
    image = rng.choice(images)
    small = image[:3000]
    match number % 8:
        case 0:
            return request(multipart(damaged(image, rng, 40)))
        case 1:
            return request(damaged(multipart(small), rng))
        case 2:
            text = json.dumps({"images": [base64.b64encode(small).decode()], "beam_size": 2}).encode()
            return request(damaged(text, rng), b"application/json")
        case 3:
            return request(multipart(small), b"multipart/form-data; boundary=b", odd_header(rng))
        case 4:
            return damaged(request(multipart(small)), rng)
        case 5:
            return rng.randbytes(rng.randint(1, 2000))
        case 6:
            return request(multipart(image))[: rng.randrange(1, 500)]
        case _:
            kinds = (b"", b"text/plain", b"multipart/form-data", b"application/json; charset=utf-16", b"\xff")
            return request(multipart(small), rng.choice(kinds))


@pytest.mark.slow
def test_two_thousand_malformed_requests(
    service: Service, captioner: Captioner, photos: list[Path], tmp_path: Path
) -> None:
    for make in (make_broken_images, make_odd_images):
        make(tmp_path)
    odd = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size < 2**20]
    images = [path.read_bytes() for path in [*photos, *odd] if path.stat().st_size]
    rng = random.Random(5)
    requests = [malformed(number, images, rng) for number in range(2000)]
    with ThreadPoolExecutor(16) as pool:  # each raises TimeoutError where there is no end within HANG
        statuses = list(pool.map(lambda content: exchange(service.port, content, soon=0.5), requests))
    seen = Counter(statuses)
    print(dict(seen), end=" ")
    assert [content[:400] for content, status in zip(requests, statuses, strict=True) if status >= 500] == []
    assert {200, 400, 415, 422} <= set(seen)
    expected = [captions[0].text for captions in captioner.caption(photos)]
    answer = httpx.post(f"{service.address}/v1/captions", files=files(*photos), timeout=HANG).json()
    assert [result["captions"][0]["text"] for result in answer["results"]] == expected
    assert "Traceback" not in "".join(service.log)


@pytest.mark.slow
def test_the_document_of_the_interface_holds(service: Service) -> None:
    """Schemathesis makes requests of the OpenAPI document, valid and not, and compares answers with it."""
    document, tried = schemathesis.openapi.from_url(f"{service.address}/openapi.json"), Counter[str]()
    for result in document.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:

            @hypothesis.settings(
                max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: schemathesis.Case) -> None:
                tried[case.formatted_path] += 1
                # Of bytes the schema cannot say whether they are an image.
                excluded = [schemathesis.checks.positive_data_acceptance]
                if case.media_type == "multipart/form-data":  # where ["true"] and true are the same bytes
                    excluded.append(schemathesis.checks.negative_data_rejection)
                case.call_and_validate(excluded_checks=excluded)

            if mode is schemathesis.GenerationMode.POSITIVE or operation.body:
                check()
    print(dict(tried), end=" ")
    assert tried["/v1/captions"] >= 200
    assert len(tried) >= 5
