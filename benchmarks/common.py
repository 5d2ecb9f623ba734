"""What the benchmarks share: photos, the machine's name, contenders in processes of their own, results."""

from __future__ import annotations

import contextlib
import datetime
import io
import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

SUFFIXES = {".jpg", ".jpeg", ".png"}
RESULTS = Path(__file__).parent / "results"


def make_photos(folder: Path, count: int) -> list[Path]:
    """Write JPEG photos of 640 x 480: pieces of the photos that come with scikit-image."""
    sources = [Image.fromarray(getattr(skimage.data, name)()) for name in ("astronaut", "chelsea", "coffee")]
    random, paths = np.random.default_rng(0), [folder / f"{i:05}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        source = sources[i % len(sources)]
        left, top = (int(random.integers(side // 4)) for side in source.size)
        piece = source.crop((left, top, left + source.width * 3 // 4, top + source.height * 3 // 4))
        piece.resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def take_photos(folder: Path | None, count: int, made: Path) -> list[Path]:
    """The first photos of a folder; without one, photos that are made in `made`."""
    if folder is None:
        return make_photos(made, count)
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:count]
    if not found:
        raise SystemExit(f"{folder}: no photos ({', '.join(sorted(SUFFIXES))}) there")
    return found


def split_photos(folder: Path | None, count: int, made: Path) -> tuple[list[Path], list[Path]]:
    """Photos to calibrate int8 on (200, or half of a small folder), and up to `count` others to measure."""
    photos = take_photos(folder, count + 200, made)
    if len(photos) < 40:
        raise SystemExit(f"{folder}: {len(photos)} photos; 40 or more are needed")
    kept = min(200, len(photos) // 2)
    return photos[-kept:], photos[:-kept][:count]


def cpu_name() -> str:
    """The processor, as the system calls it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def cpu_class() -> str:
    """What multiplies matrices: `amx`, `avx512-bf16`, `avx512`, `avx2` or `other`: results are kept apart."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.exists() else set()
    known = {"amx_bf16": "amx", "avx512_bf16": "avx512-bf16", "avx512f": "avx512", "avx2": "avx2"}
    return next((name for flag, name in known.items() if flag in flags), "other")


def machine() -> str:
    """Processor, cores, GPU and torch in a line."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cpu_name()} ({cpu_class()}), {torch.get_num_threads()} threads{gpu}, torch {torch.__version__}"


def load() -> str:
    """How busy the machine is."""
    with contextlib.suppress(OSError):
        return f"load at the end: {os.getloadavg()[0]:.1f} (above the number of its cores: disturbed)"
    return ""


class Contender:
    """Something to measure, in a process of its own: so its memory, and its threads, are its own.

    Args:
        make: called in the new process with `args`; gives what is measured, a function of a task.
        args: what is needed.
    """

    def __init__(self, make: Callable[..., Callable[[Any], Any]], *args: Any) -> None:
        self._pool = multiprocessing.get_context("spawn").Pool(1, _prepare, (make, args))

    def __call__(self, task: Any = None) -> Any:
        """What the function gives for the task."""
        return self._pool.apply(_measure, (task,))

    def peak(self) -> float:
        """The most memory that the process has had, in MiB."""
        return float(self._pool.apply(_peak))

    def close(self) -> None:
        """End the process."""
        self._pool.terminate()
        self._pool.join()


_function: Callable[[Any], Any] | None = None


def _prepare(make: Callable[..., Callable[[Any], Any]], args: Sequence[Any]) -> None:
    global _function
    _function = make(*args)


def _measure(task: Any) -> Any:
    assert _function is not None
    return _function(task)


def _peak() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """The median of one/other over rounds."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


@contextmanager
def recorded(what: str, command: str, *, keep: bool) -> Iterator[None]:
    """Show what is printed, and keep it as results/<what>_<class>_<hardware>_<date>.md."""
    text = io.StringIO()

    class Tee(io.TextIOBase):
        def write(self, string: str) -> int:
            """To the screen, and to what is kept."""
            sys.__stdout__.write(string)  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]
            return text.write(string)

    with contextlib.redirect_stdout(Tee()):
        yield
    if keep:
        hardware = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-").removeprefix("amd-")
        name = f"{what}_{cpu_class()}_{hardware}-{os.cpu_count()}core_{datetime.date.today().isoformat()}.md"
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / name).write_text(f"`{command}`\n\n{text.getvalue().strip()}\n", encoding="utf-8")
        print(f"kept: {RESULTS / name}")


def command_line(arguments: Sequence[str]) -> str:
    """The command that was given, with names of folders instead of places on this machine."""
    shown = [Path(a).resolve().name.upper() if Path(a).exists() else a for a in arguments]
    return " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *shown])
