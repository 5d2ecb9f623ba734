"""Models by hub id: from the hub's cache, and from a hub of this machine's own."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import huggingface_hub.constants
import pytest

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.hub import fetch_model, is_hub_id
from showtell.cli import main
from showtell.errors import CheckpointError
from tests.checkpoints.conftest import MAIN, OLD, put_in_cache

ROOT = Path(__file__).resolve().parents[2]
FILES = ("config.json", "model.safetensors")


def test_the_cache_is_enough(cache: Path, tiny_captioner: Captioner, photos: list[Path]) -> None:
    model = Captioner.from_pretrained("anna/tiny", device="cpu")
    model.encoder.precision = "fp32"
    assert model.caption(photos) == tiny_captioner.caption(photos)
    for revision in ("v1", OLD):
        other = Captioner.from_pretrained("anna/tiny", revision=revision, device="cpu")
        assert other.caption(photos) != model.caption(photos)


def test_every_command_takes_a_hub_id(
    cache: Path, tiny_model: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = []
    for name in ("anna/tiny", str(tiny_model)):
        assert main(["caption", str(photos[0]), "--model", name]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_a_hub_folder_is_not_made_again_without_its_card(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--model", "anna/tiny", "--to-hub-folder", "again"]) == 2
    assert "hf download anna/tiny --local-dir again" in capsys.readouterr().err
    assert not Path("again").exists()


def test_a_model_that_is_not_in_the_cache_gets_one_line(cache: Path) -> None:
    other = cache.parent / "resnet"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "resnet"}')
    put_in_cache(cache, "bob/resnet", other, MAIN, "main")
    for name, reason in (
        ("anna/none", "anna/none: no such folder here, and config.json is not in the hub's cache"),
        ("bob/resnet", "not one of showtell"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            Captioner.from_pretrained(name)
    with pytest.raises(CheckpointError, match=r"anna/tiny at v9: .* not in the hub's cache"):
        Captioner.from_pretrained("anna/tiny", revision="v9")
    (other / "config.json").write_text("{")
    put_in_cache(cache, "bob/damaged", other, MAIN, "main")
    (other / "config.json").write_text("[" * 200_000)
    put_in_cache(cache, "bob/deep", other, MAIN, "main")
    for name in ("bob/damaged", "bob/deep"):
        with pytest.raises(CheckpointError, match="not one of showtell"):
            Captioner.from_pretrained(name)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("anna/tiny", True),
        ("anna/tiny-1.0_b", True),
        ("tiny", False),
        ("/anna/tiny", False),
        ("anna/tiny/model", False),
        ("anna/", False),
        ("../tiny", False),
        ("./tiny", False),
        ("~/tiny", False),
        ("anna/ti ny", False),
        ("anna/" + "x" * 5000, False),
        ("x" * 5000 + "/anna", False),
        ("anna/\0", False),
        ("runs/mine", False),
        ("exported/int8", False),
        ("mine/model.safetensors", False),
        ("mine/last.ckpt", False),
    ],
)
def test_names_that_may_be_on_the_hub(
    name: str, is_one: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_id(name) is is_one


class Hub(NamedTuple):
    """A hub on this machine, and what has been asked of it."""

    url: str
    asked: list[str]


@pytest.fixture
def hub(hub_folder: Path) -> Iterator[Hub]:
    """Speaks as much of the hub's protocol as a download needs."""
    asked: list[str] = []
    repos = {
        "anna/tiny": {name: (hub_folder / name).read_bytes() for name in FILES},
        "bob/resnet": {"config.json": b'{"model_type": "resnet"}', "model.safetensors": b"x"},
        "bob/data": {"README.md": b"data"},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = unquote(self.path).strip("/")
            asked.append(f"{self.command} {path}")
            owner, name, kind, revision, file = [*path.split("/"), *"     "][:5]
            files = repos.get(f"{owner}/{name}")
            if f"{owner}/{name}" == "anna/closed":
                return self.refuse(403, "GatedRepo")
            if files is None or kind != "resolve":
                return self.refuse(404, "RepoNotFound")
            if revision not in ("main", MAIN):
                return self.refuse(404, "RevisionNotFound")
            if file not in files:
                return self.refuse(404, "EntryNotFound")
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[file])))
            self.send_header("ETag", f'"{hashlib.sha1(files[file]).hexdigest()}"')
            self.send_header("X-Repo-Commit", MAIN)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(files[file])
            return None

        def refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", MAIN)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield Hub(f"http://127.0.0.1:{server.server_port}", asked)
    server.shutdown()
    server.server_close()
    thread.join()


def use_hub(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the hub's client ask a hub on this machine, and wait for a second."""
    settings = {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_HUB_ETAG_TIMEOUT": 1,
        "HF_HUB_OFFLINE": False,
    }
    for name, value in settings.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)


def test_a_model_is_downloaded_once(
    hub: Hub, hub_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(hub.url, tmp_path, monkeypatch)
    first, second = (fetch_model("anna/tiny", "model.safetensors") for _ in range(2))
    assert first == second
    assert first.is_relative_to(tmp_path)
    assert first.read_bytes() == (hub_folder / "model.safetensors").read_bytes()
    assert first.with_name("config.json").is_file()
    gets = [line for line in hub.asked if line.startswith("GET") and line.endswith("model.safetensors")]
    assert len(gets) == 1


@pytest.mark.parametrize(
    ("name", "revision", "reason"),
    [
        ("anna/tiny", "v9", "at v9: .*no such revision"),
        ("anna/none", None, "no such model on the hub"),
        ("anna/closed", None, "its owner decides who may have it"),
        ("bob/resnet", None, "not one of showtell"),
        ("bob/data", None, "without config.json"),
    ],
)
def test_a_model_that_cannot_be_downloaded_is_named_with_the_reason(
    name: str, revision: str | None, reason: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_hub(hub.url, tmp_path, monkeypatch)
    with pytest.raises(CheckpointError, match=f"^{name}.*{reason}"):
        fetch_model(name, "model.safetensors", revision)
    assert not [line for line in hub.asked if line.startswith("GET") and line.endswith("model.safetensors")]


@pytest.mark.parametrize("answers", [True, False], ids=["closes", "is silent"])
def test_a_hub_that_does_not_answer_is_asked_once(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes the connection, or sends nothing for longer than the client waits."""
    asked: list[bytes] = []
    connections = []  # kept: those that are forgotten are closed
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append(connection)
                    asked.append(connection.recv(1000).split(b"\r\n")[0])
                    if answers or b"/resolve/" not in asked[-1]:
                        connection.close()

        threading.Thread(target=serve, daemon=True).start()
        use_hub(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path, monkeypatch)
        with pytest.raises(CheckpointError, match=r"cannot be reached for config\.json; check the name"):
            fetch_model("anna/tiny", "model.safetensors")
    for connection in connections:
        connection.close()
    of_model = [line for line in asked if b"/resolve/" in line]  # the client asks about itself too
    assert of_model == [b"HEAD /anna/tiny/resolve/main/config.json HTTP/1.1"]
