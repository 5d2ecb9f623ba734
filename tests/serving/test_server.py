"""The process: it tells when it is ready, finishes what it took, and leaves with the right code."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import httpx2 as httpx

from showtell.captioner import Captioner
from tests.serving.service import running
from tests.serving.test_app import files


def test_sigterm_under_load_finishes_what_was_taken(
    model: Path, captioner: Captioner, snippets: list[Path]
) -> None:
    expected = captioner.caption(snippets[:1])[0][0].text
    sent: list[tuple[float, str]] = []  # when, and what came of it

    with running(model, "--time-limit", "20") as service:

        def ask() -> None:
            while True:
                start = time.monotonic()
                try:
                    answer = httpx.post(
                        f"{service.address}/v1/captions", files=files(snippets[0]), timeout=20
                    )
                    sent.append((start, answer.json()["results"][0]["captions"][0]["text"]))
                except httpx.TransportError as error:
                    sent.append((start, type(error).__name__))
                    return

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        while any(thread.is_alive() for thread in threads) and (
            len(sent) < 64 or time.monotonic() < began + 1.5
        ):
            time.sleep(0.01)
        signalled = time.monotonic()
        assert service.stop() == 0
        for thread in threads:
            thread.join(20)
    taken = [outcome for start, outcome in sent if start < signalled - 0.2]
    assert len(taken) >= 32
    assert set(taken) == {expected}
    assert any(outcome != expected for _, outcome in sent)  # it does not listen any more


def test_ctrl_c_stops_it(model: Path) -> None:
    with running(model) as service:
        assert httpx.get(f"{service.address}/readyz").status_code == 200
        assert service.stop(signal.SIGINT) == 130
    assert service.said == ["stopped\n"]
