"""The service over HTTP: answers, limits, safety."""

from __future__ import annotations

import base64
import io
import json
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.config import SearchConfig, ServingConfig
from showtell.errors import ConfigError
from showtell.serving import Batcher
from tests.serving.conftest import Gate, StartService

Files = list[tuple[str, tuple[str, bytes, str]]]


def files(*paths: Path, name: str = "images") -> Files:
    return [(name, (path.name, path.read_bytes(), "image/jpeg")) for path in paths]


def as_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_captions_are_the_offline_ones_by_multipart_and_by_json(
    client: TestClient, captioner: Captioner, snippets: list[Path]
) -> None:
    expected = [captions[0].text for captions in captioner.caption(snippets[:5])]
    form = client.post("/v1/captions", files=files(*snippets[:5]))
    urls = [f"data:image/jpeg;base64,{as_base64(path)}" for path in snippets[:2]]
    plain = [as_base64(path) for path in snippets[2:5]]
    body = client.post("/v1/captions", json={"images": urls + plain})
    for response in (form, body):
        assert response.status_code == 200
        answer = response.json()
        assert [result["captions"][0]["text"] for result in answer["results"]] == expected
        assert answer["model"] == "tiny"
        assert answer["total_ms"] > 0
        assert answer["results"][0]["timing"]["batch_size"] >= 1


def test_options_give_more_captions_words_and_attention(
    client: TestClient, captioner: Captioner, snippets: list[Path]
) -> None:
    config = SearchConfig(beam_size=4, num_captions=3)
    (expected,) = captioner.caption(snippets[:1], config, attention=True)
    data = {"num_captions": "3", "beam_size": "4", "attention": "true"}
    (result,) = client.post("/v1/captions", files=files(snippets[0]), data=data).json()["results"]
    assert [caption["text"] for caption in result["captions"]] == [caption.text for caption in expected]
    for answered, caption in zip(result["captions"], expected, strict=True):
        assert answered["log_probability"] == pytest.approx(caption.log_probability, abs=1e-5)
        assert [word["text"] for word in answered["words"]] == list(caption.words)
        assert caption.attention is not None
        for word, grid in zip(answered["words"], caption.attention, strict=True):
            assert sum(map(sum, word["attention"])) == pytest.approx(1, abs=1e-3)
            assert word["attention"] == pytest.approx(grid, abs=1e-4)


def test_doubtful_captions_are_marked(client: TestClient, captioner: Captioner, snippets: list[Path]) -> None:
    def answered() -> dict[str, object]:
        found: dict[str, object] = client.post("/v1/captions", files=files(snippets[0])).json()["results"][0]
        return found["captions"][0]  # type: ignore[index, no-any-return]

    assert (answered()["confidence"], answered()["doubtful"]) == (None, False)
    captioner.calibration = Calibration((0.0,) * 4, (0.0,) * 5, 0.6)
    assert (answered()["confidence"], answered()["doubtful"]) == (0.5, True)
    captioner.calibration = Calibration((0.0,) * 4, (0.0,) * 5, 0.4)
    assert answered()["doubtful"] is False
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["CaptionAnswer"]["properties"]["doubtful"]["type"] == "boolean"


def test_attention_is_left_out_unless_asked_for(client: TestClient, snippets: list[Path]) -> None:
    (result,) = client.post("/v1/captions", files=files(snippets[0])).json()["results"]
    assert {word["attention"] for word in result["captions"][0]["words"]} == {None}


def test_of_several_images_those_that_cannot_be_shown_have_an_error(
    client: TestClient, snippets: list[Path]
) -> None:
    sent = [*files(snippets[0]), ("images", ("b.jpg", b"nothing", "image/jpeg")), *files(snippets[1])]
    first, second, third = client.post("/v1/captions", files=sent).json()["results"]
    assert first["captions"]
    assert third["captions"]
    assert second["captions"] == []
    assert "not an image of a known format" in second["error"]


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
def test_what_makes_no_sense_is_refused_in_one_line(
    client: TestClient, content: bytes, kind: str, status: int, detail: str
) -> None:
    response = client.post("/v1/captions", content=content, headers={"content-type": kind})
    assert response.status_code == status
    assert detail in response.json()["detail"]
    assert "\n" not in response.json()["detail"]


def test_unknown_and_repeated_fields_are_refused(client: TestClient, snippets: list[Path]) -> None:
    sent = files(snippets[0])
    assert client.post("/v1/captions", files=sent, data={"url": "x"}).status_code == 422
    assert client.post("/v1/captions", files=sent, data={"beam_size": ["2", "3"]}).status_code == 422
    assert client.post("/v1/captions", files=files(snippets[0], name="file")).status_code == 422


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
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_arguments: object, **_settings: object) -> None:
        raise AssertionError("a file was made")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", forbidden)
    monkeypatch.setattr(tempfile, "TemporaryFile", forbidden)
    stream = io.BytesIO()
    Image.effect_noise((1500, 1500), 99).save(stream, "PNG")  # larger than Starlette keeps in memory
    assert len(stream.getvalue()) > 2**20
    sent = [("images", ("../../etc/evil.png", stream.getvalue(), "image/png"))]
    response = client.post("/v1/captions", files=sent)
    assert response.status_code == 200
    assert "evil" not in response.text


def test_metadata_is_not_echoed(client: TestClient) -> None:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[270] = "secret words"
    Image.new("RGB", (64, 64), "red").save(stream, "JPEG", exif=exif, comment=b"secret words")
    response = client.post("/v1/captions", files=[("images", ("secret.jpg", stream.getvalue()))])
    assert response.status_code == 200
    assert "secret" not in response.text + str(response.headers)


def ask_in_background(client: TestClient, sent: Files, results: list[int]) -> threading.Thread:
    def ask() -> None:
        results.append(client.post("/v1/captions", files=sent).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_a_full_queue_is_503_with_retry_after(
    start: StartService, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    client, results = start(queue_length=2, max_images=2), list[int]()
    held = gate()
    first = ask_in_background(client, files(*snippets[:2]), results)
    assert held.reached.wait(20)
    refused = client.post("/v1/captions", files=files(snippets[2]))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert client.get("/healthz").status_code == 200
    held.open()
    first.join(20)
    assert results == [200]
    assert client.post("/v1/captions", files=files(snippets[2])).status_code == 200


def test_uploads_share_a_memory_limit(
    start: StartService, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    size = snippets[0].stat().st_size
    client = start(max_bytes=size, max_request_bytes=2 * size, upload_memory=2 * size)
    held, results = gate(), list[int]()
    first = ask_in_background(client, files(snippets[0]), results)
    assert held.reached.wait(20)
    refused = client.post("/v1/captions", files=files(snippets[0]))
    assert refused.status_code == 503
    assert "retry-after" in refused.headers
    held.open()
    first.join(20)
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 200


def test_a_request_over_its_time_is_503_and_leaves_the_queue(
    start: StartService, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    client, held = start(time_limit=1.5), gate()
    late = client.post("/v1/captions", files=files(snippets[0]))
    assert late.status_code == 503
    assert "1.5 seconds" in late.json()["detail"]
    assert "retry-after" in late.headers
    held.open()
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 200


def test_an_unforeseen_error_is_one_line(
    client: TestClient, captioner: Captioner, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_pixels: object) -> None:
        raise RuntimeError("the secret state of the machine")

    with monkeypatch.context() as patch:
        patch.setattr(captioner.encoder, "encode_pixels", fail)
        response = client.post("/v1/captions", files=files(snippets[0]))
    assert response.status_code == 500
    assert response.json() == {"detail": "unexpected error; it was logged"}
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 200


def test_a_token_guards_captions_and_metrics(start: StartService, snippets: list[Path]) -> None:
    client = start(token="sésame")
    for path in ("/v1/model", "/metrics"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
    for wrong in ("Bearer sesame", "Bearer", "Basic sésame", "sésame", "Bearer sésame2"):
        sent = client.post(
            "/v1/captions", files=files(snippets[0]), headers={"authorization": wrong.encode()}
        )
        assert sent.status_code == 401
    right = {"authorization": "Bearer sésame".encode()}
    assert client.post("/v1/captions", files=files(snippets[0]), headers=right).status_code == 200
    assert client.get("/metrics", headers=right).status_code == 200
    for path in ("/", "/docs", "/healthz", "/readyz"):
        assert client.get(path).status_code == 200


def test_other_sites_may_ask_only_where_that_is_allowed(start: StartService) -> None:
    origin = {"origin": "https://a.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in start().options("/v1/captions", headers=origin).headers
    allowing = start(origins=("https://a.example",), token="x")
    preflight = allowing.options("/v1/captions", headers=origin)
    assert preflight.headers["access-control-allow-origin"] == "https://a.example"
    refused = allowing.get("/v1/model", headers={"origin": "https://a.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://a.example"
    other = allowing.get("/v1/model", headers={"origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/model", "/healthz", "/nothing", "/static/app.js"])
def test_every_answer_has_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'unsafe" not in policy
    assert "http:" not in policy
    assert "https:" not in policy


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/__init__.py"])
def test_no_other_file_can_be_read(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_pages_name_no_other_host_and_all_of_their_files_are_there(client: TestClient, page: str) -> None:
    from tests.serving.links import links_of

    links = links_of(client.get(page).text)
    assert links
    for link in links:
        assert "//" not in link
        assert client.get(f"/{link}").status_code == 200


def test_state_and_metrics(client: TestClient, snippets: list[Path]) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post("/v1/captions", files=[*files(snippets[0]), ("images", ("x", b"x", ""))])
    client.get("/some/secret/path")
    text = client.get("/metrics").text
    assert 'showtell_requests_total{route="/v1/captions",status="200"} 1.0' in text
    assert 'showtell_requests_total{route="other",status="404"} 1.0' in text
    assert 'showtell_images_total{outcome="captioned"} 1.0' in text
    assert 'showtell_images_total{outcome="not shown"} 1.0' in text
    assert "showtell_pending_images 0.0" in text
    assert "secret" not in text


def test_it_is_not_ready_while_it_stops(client: TestClient) -> None:
    client.app.state.closing = True  # type: ignore[attr-defined]
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["connection"] == "close"
    assert client.get("/healthz").status_code == 200


def test_what_is_too_late_at_the_end_is_503(
    client: TestClient, gate: Callable[[], Gate], snippets: list[Path]
) -> None:
    held, results = gate(), list[int]()
    first = ask_in_background(client, files(snippets[0]), results)
    assert held.reached.wait(20)
    second = ask_in_background(client, files(snippets[1]), results)
    while "showtell_pending_images 2.0" not in client.get("/metrics").text:
        pass
    client.app.state.drop()  # type: ignore[attr-defined]
    second.join(20)
    assert results == [503]
    held.open()
    first.join(20)
    assert results == [503, 200]


def test_a_dead_captioning_thread_shows(
    start: StartService, captioner: Captioner, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(time_limit=1)
    monkeypatch.setattr(Batcher, "_next_batch", lambda _batcher: [])  # as if all were done
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 200  # the last one
    assert client.post("/v1/captions", files=files(snippets[0])).status_code == 503
    assert client.get("/healthz").status_code == 503
    assert client.get("/readyz").status_code == 503


def test_the_document_of_the_interface_has_an_example_that_works(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    content = document["paths"]["/v1/captions"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    for form in content.values():
        assert form["schema"]["properties"]["images"]["maxItems"] == ServingConfig().max_images
    response = client.post("/v1/captions", json=content["application/json"]["schema"]["example"])
    assert response.status_code == 200
    assert len(response.json()["results"][0]["captions"]) == 2
    assert json.dumps(document).count("$ref") > 3


def test_limits_that_contradict_each_other_are_refused() -> None:
    for limits in (
        {"queue_length": 4, "max_images": 5},
        {"max_bytes": 100, "max_request_bytes": 120},
        {"max_request_bytes": 2**30, "upload_memory": 2**20},
        {"time_limit": 0},
        {"batch_size": 0},
    ):
        with pytest.raises(ConfigError):
            ServingConfig(**limits)  # type: ignore[arg-type]
