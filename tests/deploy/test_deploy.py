"""The files of deploy/: their steps, commands, ports and limits fit the service; nothing of them is run."""

from __future__ import annotations

import configparser
import fnmatch
import http.server
import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
import yaml

from showtell.commands import serve
from showtell.commands.shared.options import add_general
from showtell.commands.shared.parser import Parser
from showtell.config import ServingConfig
from tests.test_wheel import BUILT_FROM

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
LIMITS = ServingConfig()
UNIT = "showtell.service"


def steps() -> list[tuple[str, str]]:
    """Instruction and text of each step of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.strip().partition(" ") for line in text.splitlines() if line.strip()]
    return [(name, rest.strip()) for name, _, rest in lines]


def of(name: str, *, last_stage: bool = False) -> list[str]:
    everything = steps()
    start = max(number for number, step in enumerate(everything) if step[0] == "FROM") if last_stage else 0
    return [text for each, text in everything[start:] if each == name]


def copied() -> list[str]:
    return [source for text in of("COPY") if not text.startswith("--from") for source in text.split()[:-1]]


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / UNIT)
    return parser


def compose() -> dict[str, object]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["showtell"]


def commands() -> dict[str, list[str]]:
    """The arguments of `showtell serve` in each file."""
    return {
        "Dockerfile": json.loads(of("CMD")[0]),
        "compose": compose()["command"],  # type: ignore[dict-item]
        "systemd": shlex.split(unit()["Service"]["ExecStart"])[2:],
    }


@pytest.mark.parametrize("place", ["Dockerfile", "compose", "systemd"])
def test_commands_are_understood(place: str) -> None:
    parser = Parser("showtell serve", "", serve.EXAMPLES)
    serve.add_arguments(parser)
    add_general(parser)
    args = parser.parse(commands()[place])
    assert args.port == 8000
    assert args.host == ("127.0.0.1" if place == "systemd" else "0.0.0.0")
    assert json.loads(of("ENTRYPOINT")[0]) == ["showtell", "serve"]


def test_one_port_everywhere() -> None:
    assert of("EXPOSE") == ["8000"]
    assert compose()["ports"] == ["127.0.0.1:8000:8000"]
    assert "server 127.0.0.1:8000;" in (DEPLOY / "nginx.conf").read_text()
    assert "reverse_proxy 127.0.0.1:8000 {" in (DEPLOY / "Caddyfile").read_text()


def test_the_image_is_made_of_what_the_wheel_is_built_from() -> None:
    assert set(copied()) == set(BUILT_FROM)
    assert all((ROOT / name).exists() for name in copied())
    rules = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    for name in copied():
        kept = [rule for rule in rules if fnmatch.fnmatch(name, rule.lstrip("!"))][-1]
        assert kept.startswith("!"), f"{name} is ignored"


def test_the_image_installs_extras_that_exist_and_the_locked_torch() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installs = [text for text in of("RUN") if "pip install" in text]
    named = {
        extra for text in installs for group in re.findall(r"\[(.*?)\]", text) for extra in group.split(",")
    }
    assert named == {"serve", "heif"} <= extras.keys()
    version = re.search(r"^torch==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert version is not None
    assert any(f"torch=={version[1].partition('+')[0]}" in text for text in installs)


def test_the_image_runs_without_privileges() -> None:
    (user,) = of("USER", last_stage=True)
    assert int(user) > 1000
    names = [name for name, _ in steps()]
    last = len(names) - names[::-1].index("USER")
    assert not {"RUN", "COPY", "ADD"} & set(names[last:])
    assert "ADD" not in names
    assert any(f"--uid {user}" in text for text in of("RUN", last_stage=True))
    assert compose()["read_only"]
    assert compose()["cap_drop"] == ["ALL"]


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_health_check(status: int | None, healthy: bool) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/healthz"
            self.send_response(status or 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    python, option, code = json.loads(of("HEALTHCHECK")[0].partition("CMD ")[2])
    assert (python, option) == ("python", "-c")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        code = code.replace(":8000", f":{server.server_port}")
        try:
            if status is None:
                server.shutdown()
                server.server_close()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30)
        finally:
            server.shutdown()
            thread.join()
    assert (done.returncode == 0) == healthy


def seconds(text: str) -> float:
    return float(text.strip().rstrip("s;"))


def test_everybody_waits_longer_than_the_service() -> None:
    nginx, caddy = ((DEPLOY / name).read_text() for name in ("nginx.conf", "Caddyfile"))
    waits = [
        str(compose()["stop_grace_period"]),
        unit()["Service"]["TimeoutStopSec"],
        *re.findall(r"proxy_read_timeout (\S+);", nginx),
        *re.findall(r"response_header_timeout (\S+)", caddy),
    ]
    assert len(waits) == 4
    assert min(map(seconds, waits)) > LIMITS.time_limit


def test_proxies_let_through_what_the_service_takes() -> None:
    nginx, caddy = ((DEPLOY / name).read_text() for name in ("nginx.conf", "Caddyfile"))
    sizes = [*re.findall(r"client_max_body_size (\d+)m;", nginx), *re.findall(r"max_size (\d+)MiB", caddy)]
    assert [int(size) * 2**20 for size in sizes] == [LIMITS.max_request_bytes] * 2
    assert "proxy_set_header Host $http_host;" in nginx  # the service tells pages of other sites by it
    for text in (nginx, caddy):
        assert "/metrics" in text


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_blocks_are_closed(name: str) -> None:
    text = re.sub(r"#.*", "", (DEPLOY / name).read_text())
    assert text.count("{") == text.count("}") > 2
    if name == "nginx.conf":
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        assert all(line[-1] in "{};" for line in lines)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / UNIT).read_text().replace("/opt/showtell/bin/showtell", sys.executable)
    (tmp_path / UNIT).write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / UNIT], capture_output=True, text=True)
    assert UNIT not in done.stderr, done.stderr
    (tmp_path / UNIT).write_text(text.replace("Restart=on-failure", "Restart=maybe"))
    done = subprocess.run(["systemd-analyze", "verify", tmp_path / UNIT], capture_output=True, text=True)
    assert "maybe" in done.stderr, "it would report a mistake"


def test_the_page_names_every_file() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for file in DEPLOY.iterdir():
        if not file.name.endswith((".dockerignore", ".txt")):
            assert f"deploy/{file.name}" in page
    for name in re.findall(r"deploy/([\w.]+\w)", page):
        assert name == "token.txt" or (DEPLOY / name).exists()


@pytest.mark.slow
def test_the_build_steps_give_a_package_that_holds_the_model(tmp_path: Path) -> None:
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--target", "site"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "."], cwd=tmp_path, check=True)
    code = "from showtell.utils.shipped import find_model; print(find_model('everyday'))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "site") in done.stdout
