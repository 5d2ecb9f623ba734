"""Services of a tiny captioner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from showtell.captioning.captioner import Captioner
from showtell.config import ServingConfig
from showtell.serving import create_app
from tests.commands.test_caption import save_model
from tests.serving.service import Service, running

StartService = Callable[..., TestClient]


class Gate:
    """Holds the encoder back until it is opened; counts what is waiting before it."""

    def __init__(self, captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[int] = []
        self.reached, self.opened = threading.Event(), threading.Event()
        encode = captioner.encoder.encode_pixels

        def held(pixels):  # type: ignore[no-untyped-def]
            self.batches.append(len(pixels))
            self.reached.set()
            assert self.opened.wait(60)
            return encode(pixels)

        monkeypatch.setattr(captioner.encoder, "encode_pixels", held)

    def open(self) -> None:
        self.opened.set()


@pytest.fixture(autouse=True)
def one_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick and a patient decoder are enough for services of these tests, and start sooner."""
    monkeypatch.setattr("showtell.serving.image_decoder_pool.decode_threads", lambda: 1)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def service(model: Path) -> Iterator[Service]:
    """A service in a process of its own that may open 128 files: 64 connections."""
    with running(model, "--time-limit", "20", files=128) as service:
        yield service


@pytest.fixture(scope="session")
def shared_captioner(model: Path) -> Captioner:
    """A captioner that no test changes."""
    return Captioner.load(str(model))


@pytest.fixture(scope="session")
def shared_client(shared_captioner: Captioner) -> Iterator[TestClient]:
    """A service that no test changes; its decoder processes are started once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("showtell.serving.image_decoder_pool.decode_threads", lambda: 1)
        with TestClient(create_app(shared_captioner, "tiny", ServingConfig())) as client:
            yield client


@pytest.fixture
def captioner(model: Path) -> Captioner:
    return Captioner.load(str(model))


@pytest.fixture
def start(captioner: Captioner) -> Iterator[StartService]:
    """Starts services; each is closed after the test."""
    with ExitStack() as stack:

        def call(*, token: str | None = None, origins: tuple[str, ...] = (), **limits: object) -> TestClient:
            app = create_app(
                captioner,
                "tiny",
                ServingConfig(**limits),  # type: ignore[arg-type]
                token=token,
                cors_origins=origins,
            )
            return stack.enter_context(TestClient(app))

        yield call


@pytest.fixture
def client(start: StartService) -> TestClient:
    """A service of this test's own."""
    return start()


@pytest.fixture
def gate(captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Gate]]:
    """Makes a gate before the encoder; it is opened at the end, so that nothing hangs."""
    gates: list[Gate] = []

    def make() -> Gate:
        gates.append(Gate(captioner, monkeypatch))
        return gates[-1]

    yield make
    for one in gates:
        one.open()
