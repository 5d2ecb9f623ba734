"""The process: it tells when it is ready, finishes what it took, and leaves with the right code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import httpx2 as httpx
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from showtell.captioning.captioner import Captioner
from showtell.serving.server import _Server
from tests.serving.forms import files
from tests.serving.service import Service, running


def test_sigterm_under_load_finishes_what_was_taken(
    model: Path, captioner: Captioner, snippets: list[Path]
) -> None:
    expected = captioner.caption(snippets[:1])[0][0].text
    sent: list[tuple[float, float, str]] = []  # when, for how long, and the caption or the error
    a_connection_each = httpx.Limits(max_keepalive_connections=0)

    with (
        running(model, "--time-limit", "20") as service,
        httpx.Client(base_url=service.address, timeout=20, limits=a_connection_each) as client,
    ):

        def ask() -> None:
            while True:
                start = time.monotonic()
                try:
                    answer = client.post("/v1/captions", files=files(snippets[0]))
                    caption = answer.json()["results"][0]["captions"][0]["text"]
                    sent.append((start, time.monotonic() - start, caption))
                except httpx.TransportError as error:
                    sent.append((start, time.monotonic() - start, type(error).__name__))
                    return

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 60
        while (
            time.monotonic() < until
            and any(thread.is_alive() for thread in threads)
            and sum(start < time.monotonic() - 1 for start, _, _ in list(sent)) < 16
        ):
            time.sleep(0.01)
        signalled = time.monotonic()
        assert service.stop() == 0
        for thread in threads:
            thread.join(60)
    # A busy machine takes a while from a request's start until its connection is accepted.
    accepted = signalled - max(1, 2 * max(seconds for start, seconds, _ in sent if start < signalled))
    taken = [outcome for start, _, outcome in sent if start < accepted]
    assert set(taken) <= {expected}
    assert [outcome for _, _, outcome in sent].count(expected) >= 8
    assert any(outcome != expected for _, _, outcome in sent)  # it does not listen any more


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_documented_curl_takes_a_photo_of_any_size(service: Service, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) if "base64" in block)
    for name in ("photo.jpg", "other.png"):
        Image.effect_noise((1200, 900), 80).save(tmp_path / name)
    assert (tmp_path / "photo.jpg").stat().st_size > 2**18  # twice what an argument may be long
    script = block.replace("http://127.0.0.1:8000", service.address)
    done = subprocess.run(["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.replace("}{", "}\n{").splitlines()]
    form, body = (answer["results"] for answer in answers)
    assert len(form) == 2
    assert [caption["text"] for caption in form[0]["captions"]] == [c["text"] for c in body[0]["captions"]]
    assert len(body[0]["captions"]) == 3


def test_ctrl_c_stops_it(model: Path) -> None:
    with running(model) as service:
        assert httpx.get(f"{service.address}/readyz").status_code == 200
        assert service.stop(signal.SIGINT) == 130
    assert service.log == ["stopped\n"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_ends_before_the_limit_whatever_is_left(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []
    done = threading.Event()

    def leave(status: int) -> None:
        calls.append(status)
        done.set()

    monkeypatch.setattr(os, "_exit", leave)
    app = FastAPI()
    app.state.closing, app.state.kill = False, lambda: calls.append("decoders")
    server = _Server(app, uvicorn.Config(app, timeout_graceful_shutdown=1), lambda: None)
    server.handle_exit(number, None)
    start = time.monotonic()
    assert app.state.closing
    assert app.state.closing_until < start + 1
    assert done.wait(60)
    assert time.monotonic() - start > 0.5
    assert calls == ["decoders", code]
    assert "at the time limit" in caplog.text


def test_nothing_ends_a_process_that_has_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "_exit", calls.append)
    app = FastAPI()
    server = _Server(app, uvicorn.Config(app), lambda: None)
    server.ended.set()
    server._end_within(0.0, 0)
    assert calls == []
