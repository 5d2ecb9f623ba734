"""Check the installation (Python, PyTorch, devices, extras, Java, models, caches) and suggest fixes.

Prints one line per check. Nothing is changed or downloaded. The exit code is 1 if captioning cannot work.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jsonargparse import Namespace

from showtell import __file__ as package_file
from showtell import __version__
from showtell.checkpoints.catalog import EXPORTED, ModelEntry, folder_bytes, list_models
from showtell.commands.shared.parser import Parser
from showtell.config import DEVICE_VARIABLE, CacheConfig
from showtell.errors import ShowtellError
from showtell.utils.files import readable_size
from showtell.utils.installation import BASE, missing_packages
from showtell.utils.shipped import DEFAULT_MODEL

EXAMPLES: Final = (
    ("{prog}", "is all that showtell needs here?"),
    ("{prog} --json", "the same for another program, or for a bug report"),
)
_PYTHON: Final = (3, 11)
_ROOM: Final = 2 * 10**9
"""Free bytes of a disk below which a training may fail."""


@dataclass(frozen=True)
class Check:
    """A line of the report.

    Attributes:
        name: what was looked at.
        result: what is there.
        advice: what to do; empty if nothing is.
        broken: whether captioning cannot work.
    """

    name: str
    result: str
    advice: str = ""
    broken: bool = False


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell doctor`."""
    parser.add_argument(
        "--cache", metavar="FOLDER", default=CacheConfig.dir, help="folder of cached features"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of lines")


def run(parser: Parser, args: Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    """Report; returns 1 if captioning cannot work, else 0."""
    checks = list(_checks(Path(args.cache)))
    if args.json:
        print(json.dumps([vars(check) for check in checks], indent=1, ensure_ascii=False))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = "x" if check.broken else "!" if check.advice else " "
            advice = f": {check.advice}" if check.advice else ""
            print(f"{mark} {check.name:<{width}}  {check.result}{advice}")
    return int(any(check.broken for check in checks))


def _checks(cache: Path) -> Iterator[Check]:
    yield Check("showtell", f"{__version__}, {Path(package_file).parent}")
    yield _python()
    yield _torch()
    yield _devices()
    yield _extras()
    yield _java()
    models = list_models()
    yield _included([model for model in models if model.place == "included"])
    yield _own([model for model in models if model.place in ("run", "exported")])
    yield _hub([model for model in models if model.place == "hub cache"])
    yield _caches(cache)


def _python() -> Check:
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    old = sys.version_info[:2] < _PYTHON
    return Check("Python", text, f"install Python {_PYTHON[0]}.{_PYTHON[1]} or later" if old else "", old)


def _torch() -> Check:
    lacking = missing_packages().get(BASE, [])
    try:
        import torch
    except ImportError as error:
        return Check("PyTorch", f"cannot be imported ({error})", "pip install torch", broken=True)
    text = f"{torch.__version__}, {torch.get_num_threads()} threads"
    if lacking:
        advice = f"not installed: {', '.join(lacking)}; install showtell again (make, or pip install .)"
        return Check("PyTorch", text, advice)
    return Check("PyTorch", f"{text}; all required packages are installed")


def _devices() -> Check:
    try:
        import torch

        from showtell.utils.devices import available_devices, compute_dtype, pick_device

        chosen = pick_device()
    except ImportError:
        return Check("devices", "unknown without PyTorch")
    except ShowtellError as error:
        return Check("devices", str(error), f"unset {DEVICE_VARIABLE}", broken=True)
    names = [
        f"{name} ({torch.cuda.get_device_name(name)})" if name.startswith("cuda") else name
        for name in available_devices()
    ]
    number_format = str(compute_dtype("auto", chosen)).removeprefix("torch.")
    text = f"{', '.join(names)}; computes on {chosen} in {number_format}"
    gpu_unused = shutil.which("nvidia-smi") and not torch.cuda.is_available()
    advice = "there is an NVIDIA driver, but this PyTorch has no CUDA: see pytorch.org/get-started"
    return Check("devices", text, advice if gpu_unused else "")


def _extras() -> Check:
    extras = {extra: lacking for extra, lacking in missing_packages().items() if extra != BASE}
    there = [extra for extra, lacking in extras.items() if not lacking]
    lacks = [f"{extra} ({', '.join(lacking)})" for extra, lacking in extras.items() if lacking]
    text = f"installed: {', '.join(there) or 'none'}"
    if not lacks:
        return Check("extras", text)
    names = ",".join(extra for extra, lacking in extras.items() if lacking)
    return Check("extras", f"{text}; not: {'; '.join(lacks)}", f"if needed, pip install 'showtell[{names}]'")


def _java() -> Check:
    from showtell.evaluation.java_metrics import missing_java_metrics

    missing = missing_java_metrics()
    names = [name for name, reason in missing.items() if reason is None]
    text = f"{shutil.which('java') or 'none'}; scores: {', '.join(names) or 'neither METEOR nor SPICE'}"
    reasons = dict.fromkeys(reason for reason in missing.values() if reason)
    return Check("Java", text, f"only for these scores: {'; '.join(reasons)}" if reasons else "")


def _included(models: list[ModelEntry]) -> Check:
    text = ", ".join(f"{model.name} ({readable_size(model.bytes)})" for model in models) or "none"
    problems = [f"{model.name}: {model.problem}" for model in models if model.problem]
    if not any(model.name == DEFAULT_MODEL for model in models):
        problems.append(f"{DEFAULT_MODEL} is missing: clone the repository again, or install showtell again")
    return Check("included", text, "; ".join(problems), bool(problems))


def _own(models: list[ModelEntry]) -> Check:
    runs = [model for model in models if model.place == "run"]
    text = f"{len(runs)} runs ({readable_size(folder_bytes(Path('runs')))} in runs/)"
    if exported := [model for model in models if model.place == "exported"]:
        text += f", {len(exported)} exported ({readable_size(folder_bytes(EXPORTED))} in {EXPORTED}/)"
    problems = [model for model in runs if model.problem]
    advice = f"{problems[0].name}: {problems[0].problem}" if problems else ""
    return Check("your models", f"{text}, in {Path.cwd()}", advice)


def _hub(models: list[ModelEntry]) -> Check:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    offline = "; HF_HUB_OFFLINE is set: nothing is downloaded" if constants.HF_HUB_OFFLINE else ""
    text = (
        f"{len(models)} models of showtell among {readable_size(folder_bytes(folder))} in {folder}{offline}"
    )
    return Check("hub cache", text)


def _caches(cache: Path) -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    used = f"{readable_size(folder_bytes(cache))} in {cache}/ (may be deleted)"
    text = f"{used}, {readable_size(free)} of disk free"
    advice = "free some room, or name another disk with --cache.dir and --out" if free < _ROOM else ""
    return Check("cache", text, advice)
