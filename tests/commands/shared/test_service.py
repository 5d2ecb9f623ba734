"""Serving a model: the address, the extra, and the review that is announced."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonargparse import Namespace

from showtell.commands.shared import service
from showtell.commands.shared.service import TOKEN_VARIABLE, listen, serve_at, serve_model, serving_extra
from showtell.config import ServingConfig
from showtell.errors import UsageError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


REVIEW = SimpleNamespace(
    items=["a.jpg", "b.jpg"],
    decided_before=3,
    output="captions.csv",
    then="train on it",
    counts=lambda: (1, 1),
)
ARGS = Namespace(model="runs/mine/", debug=False, port=0)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the application was made with, and what `serve` is to return."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from showtell import serving
    from showtell.serving import server

    seen: dict[str, Any] = {"returns": True}

    def create_app(model: object, name: str, config: ServingConfig, **options: Any) -> str:
        seen.update(model=model, name=name, config=config, **options)
        return "app"

    def serve(app: str, listener: socket.socket, **options: Any) -> bool:
        seen.update(app=app, **options)
        return bool(seen["returns"])

    monkeypatch.setattr(service, "load_model", lambda args: f"model of {args.model}")
    monkeypatch.setattr(serving, "create_app", create_app)
    monkeypatch.setattr(server, "serve", serve)
    return seen


@pytest.mark.parametrize(("took_requests", "code"), [(True, 0), (False, 1)])
def test_a_model_is_served_under_the_name_of_its_folder(
    took_requests: bool, code: int, served: dict[str, Any], listener: socket.socket
) -> None:
    served["returns"] = took_requests
    config = ServingConfig(time_limit=7)
    args = Namespace(**vars(ARGS), cors_origin=["https://a.org"], host="localhost")
    assert serve_at(listener, args, config, "secret") == code
    assert (served["model"], served["name"], served["token"]) == ("model of runs/mine/", "mine", "secret")
    assert (served["cors_origins"], served["hosts"]) == (("https://a.org",), ("localhost",))
    assert (served["app"], served["time_limit"], served["debug"]) == ("app", 7, False)


def test_a_folder_with_a_comma_in_its_name_is_one_model(
    served: dict[str, Any],
    listener: socket.socket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/red,blue").mkdir(parents=True)
    for model, name in (("runs/red,blue", "red,blue"), ("runs/red,runs/green", "red+green")):
        serve_at(listener, Namespace(model=model, debug=False, port=0), ServingConfig(), None)
        assert served["name"] == name


def test_a_review_is_announced_and_summed_up(
    served: dict[str, Any], listener: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "showtell")
    serve_at(listener, ARGS, ServingConfig(), None, review=REVIEW)  # type: ignore[arg-type]
    assert served["review"] is REVIEW
    assert caplog.messages == [
        "review: 2 photos to decide on, 3 decided before; saved to captions.csv",
        "review: 1 saved to captions.csv, 1 skipped",
        "use them: train on it",
    ]


@pytest.mark.parametrize(("host", "token"), [("0.0.0.0", None), ("192.168.0.7", None)])
def test_a_review_for_other_machines_needs_a_token(host: str, token: str | None) -> None:
    args = Namespace(**vars(ARGS), host=host)
    with pytest.raises(UsageError, match=rf"--host {host}: .* set {TOKEN_VARIABLE}"):
        serve_model(args, ServingConfig(), token, REVIEW)  # type: ignore[arg-type]


def test_a_review_with_a_token_is_served_anywhere(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("showtell.serving.server.bind", lambda host, port: (host, port))
    args = Namespace(**vars(ARGS), host="0.0.0.0")
    assert serve_model(args, ServingConfig(), "secret", REVIEW) == 0  # type: ignore[arg-type]


def test_a_port_in_use_is_named(listener: socket.socket) -> None:
    from showtell.serving.server import bind

    port = listener.getsockname()[1]
    with pytest.raises(UsageError, match=rf"127.0.0.1:{port} \(Address already in use\); choose another"):
        listen(bind, "127.0.0.1", port)


def test_a_missing_package_is_named_with_the_extra() -> None:
    with (
        pytest.raises(UsageError, match=r"serving needs no_such_package: .*'showtell\[serve\]'"),
        serving_extra(),
    ):
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401
