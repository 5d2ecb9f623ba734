"""`showtell serve`: misuse is answered before any work starts."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from showtell.cli import main
from showtell.commands import serve
from showtell.errors import UsageError


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--batch-size", "0"), "--batch-size must be at least 1"),
        (("--time-limit", "0"), "--time-limit must be over 0"),
        (("--queue-length", "4"), "--queue-length must be at least --max-images"),
        (("--max-request-bytes", "1000"), "--max-request-bytes must hold a photo of --max-bytes"),
        (("--port", "70000"), "--port must be 0 to 65535"),
        (("--host", "no such host"), "cannot listen at no such host:8000"),
        (("--token-file", "missing.txt"), "--token-file missing.txt: cannot be read"),
        (("--review", "missing"), "missing: no such folder"),
        (("--review-output", "a.csv"), "--review-output needs --review FOLDER"),
        (("--review", "docs/images", "--review-output", "a.txt"), "a.txt: name a .csv file"),
        (("--review", "docs/images", "--workers", "2"), "--review is served by one process"),
        (("--review", "docs/images", "--host", "0.0.0.0"), "whoever reaches it would see your photos"),
    ],
)
def test_misuse_is_one_line(
    options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *options]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_named(taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", str(taken_port)]) == 2
    assert f"127.0.0.1:{taken_port} (Address already in use); choose another" in capsys.readouterr().err


def test_without_the_extra_it_says_how_to_install_it() -> None:
    script = (
        "import sys; sys.modules['fastapi'] = None; from showtell.cli import main; sys.exit(main(['serve']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: serving needs fastapi: install it with pip install 'showtell[serve]'\n"


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(" from-file \n")
    monkeypatch.setenv(serve.TOKEN_VARIABLE, "from-environment\n")  # as a secret of Kubernetes has it
    assert serve._token(str(file)) == "from-file"
    assert serve._token(None) == "from-environment"
    monkeypatch.delenv(serve.TOKEN_VARIABLE)
    assert serve._token(None) is None
    file.write_text("\n")
    with pytest.raises(UsageError, match="it is empty"):
        serve._token(str(file))
