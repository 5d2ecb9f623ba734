"""The commands: help, misuse, and the bad annotations of DESIGN's table through the real command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from showtell import __version__
from showtell.cli import COMMANDS, main
from showtell.config import RunConfig
from showtell.errors import ImageError


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_overview(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["--version"], ["-V"], ["train", "--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"showtell {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        *("scale caption", "scale extract"),
        *("data list", "data check", "data get", "data prepare", "data export"),
    ],
)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([*command.split(), "--help"], ["help", *command.split()]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: showtell {command} ")
        assert "--debug" in shown
        assert "--quiet" in shown
        assert shown.partition("examples:")[2].count(f"showtell {command} ") == 2


def test_help_and_misuse_import_no_torch() -> None:
    """They are answered in a second: in a process of their own, since this one has imported it."""
    code = f"""
import sys
from showtell.cli import main
for name in {list(COMMANDS)}:
    try:
        main([name, "--help"])
    except SystemExit:
        pass
    assert main([name, "--nonsense"]) == 2
assert main(["train", "--epochs", "0"]) == 2
assert not {{"torch", "lightning_fabric", "transformers", "matplotlib", "ray"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_defaults_are_valid_and_errors_pickle() -> None:
    import pickle

    RunConfig()
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "truncated")))
    assert str(error) == "a.jpg: truncated"
