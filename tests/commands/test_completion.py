"""Shell completion: scripts that the shells take, with the options that the help shows."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from showtell.cli import COMMANDS, main

_COMPLETE = """
source /dev/stdin
for line in "$@"; do
  read -ra COMP_WORDS <<< "$line"
  [[ "$line" == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _shtab_showtell
  echo "${COMPREPLY[*]}"
done
"""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_all_commands_are_in_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert all(name in text for name in COMMANDS)
    assert "beam-size" in text
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes_commands_options_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {
        "showtell tr": "train",
        "showtell caption --beam": "--beam-size",
        "showtell train --decoder.kind ": "topdown attention pooled",
        "showtell train --resu": "--resume",
        "showtell evaluate --split t": "train test",
        "showtell evaluate --java ": "true false",
        "showtell scale ": "caption extract",
        "showtell scale extract --cache.dt": "--cache.dtype",
        "showtell completion f": "fish",
    }
    command = ["bash", "-c", _COMPLETE, "bash", *wanted]
    done = subprocess.run(command, input=script("bash", capsys), capture_output=True, text=True, check=True)
    assert dict(zip(wanted, done.stdout.splitlines(), strict=True)) == wanted


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bahs"]) == 2
    assert capsys.readouterr().err == "error: shell: 'bahs' is none of bash, zsh, fish; did you mean bash?\n"
