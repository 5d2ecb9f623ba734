"""Seconds from a command to the first caption.

    python benchmarks/bench_coldstart.py [PHOTO] [--rounds 5] [--keep]

Each is a fresh Python process that captions one photo; files are in the system's cache. The baselines are
what every captioner on this encoder would have to import first. Prints Markdown.

Modules are compiled (`make .venv/.ready` does that), as for everybody who has run a command before: a process
that may not write bytecode would compile them each time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_encode import exports
from common import command_line, load, machine, make_photos, recorded

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(command: list[str]) -> tuple[float, float]:
    """Seconds, and peak memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    assert process.returncode == 0, output
    return seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def make_commands(photo: Path, work: Path) -> dict[str, list[str]]:
    """What is timed."""
    photos = make_photos(work, 40)
    folders = exports(work, photos)
    caption = [sys.executable, "inference.py", str(photo)]
    commands = {
        "`import torch` alone": [sys.executable, "-c", "import torch"],
        "`from transformers import ResNetModel` alone": [
            sys.executable,
            "-c",
            "from transformers import ResNetModel",
        ],
        "PyTorch": caption,
    }
    for name, runtime, precisions in (
        ("OpenVINO", "openvino", ("fp32", "bf16", "int8")),
        ("ONNX Runtime", "onnx", ("fp32", "int8")),
    ):
        for precision in precisions:
            options = ["--model", str(folders[precision]), "--runtime", runtime]
            commands[f"{name}, {precision}"] = [*caption, *options]
    example = str(folders["int8"] / "caption.py")
    commands["the 50-line example (ONNX Runtime, int8, greedy)"] = [sys.executable, example, str(photo)]
    return commands


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Seconds from a command to the first caption.")
    parser.add_argument("photo", nargs="?", type=Path, help="by default one is made")
    parser.add_argument("--rounds", type=int, default=5, help="turns; medians are told")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as made,
        recorded("coldstart", command_line(sys.argv[1:]), keep=args.keep),
    ):
        photo = (args.photo or make_photos(Path(made), 1)[0]).resolve()
        found: dict[str, list[tuple[float, float]]] = {}
        commands = make_commands(photo, Path(made))
        for round_number in range(args.rounds + 1):
            for name, command in commands.items():
                measured = run(command)
                if round_number:  # the first fills the system's cache
                    found.setdefault(name, []).append(measured)
        print(f"One photo, {args.rounds} rounds, medians\n{machine()}\n{load()}\n")
        print("| | s | slowest | peak memory, MiB |\n| --- | ---: | ---: | ---: |")
        for name, values in found.items():
            seconds = [value[0] for value in values]
            peak = statistics.median(value[1] for value in values)
            print(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
