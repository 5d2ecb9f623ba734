"""Captioning a folder against the bare encoder and against other captioners; one photo, warm; memory.

    python benchmarks/bench_caption.py [FOLDER] [--images 500] [--rounds 3] [--others 8] [--keep]
        [--exported EXPORTS]

Of each runtime, the bare encoder has the photos decoded in memory already and only encodes them, in batches
of 16 of one shape; captioning decodes them from their files, encodes, and searches with three beams, through
`caption_stream` as `inference.py` does. The baselines: a loop that takes a photo at a time through the same
model, and the captioners of `other_captioners.py`, which get decoded images in batches of 4. `warm` is one
decoded photo to its caption, over the encoder's time for it, in the same process. Peak memory is of processes
that write a gallery too, after a tenth of the photos and after all. All take turns; shares and ratios are
medians of those within a round. Prints Markdown.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_encode import exports
from common import Contender, command_line, load, machine, median_ratio, recorded, split_photos
from other_captioners import OTHERS, captions_with
from PIL import Image

from showtell.captioning.base import CaptioningModel
from showtell.commands.shared.options import open_model
from showtell.data.decode_ahead import decode_ahead
from showtell.output import Photo, Record, make_writer
from showtell.utils.shipped import DEFAULT_MODEL

Task = tuple[str, list[Path]]

AT_ONCE = 64
"""Images that the bare encoder is given together; those of one shape share its batches."""

BATCH = 4
"""Images that other captioners are given together."""


def ours(model: str, runtime: Any, image_size: int | None = None) -> Callable[[Task], Any]:
    """One of our models: encodes, captions, captions in a loop, or one photo at a time."""
    captioner = open_model(model, runtime, image_size=image_size)
    decoded: dict[Path, Any] = {}

    def pixels(paths: list[Path]) -> list[Any]:
        for item in decode_ahead([p for p in paths if p not in decoded], captioner.transform.pixels):
            decoded[item.source] = item.pixels
        return [decoded[path] for path in paths]

    def measure(task: Task) -> Any:
        what, paths = task
        if what == "one":
            return warm(captioner, pixels(paths))
        batches = pixels(paths) if what == "encode" else []
        start = time.perf_counter()
        if what == "encode":
            for begin in range(0, len(batches), AT_ONCE):
                fetch(captioner.encode_pixels(batches[begin : begin + AT_ONCE]))
        elif what == "loop":
            for path in paths:
                captioner.caption([path])
        else:
            done = list(captioner.caption_stream(paths, open_source=lambda path: path))
            assert all(item.captions for item in done)
        return time.perf_counter() - start

    return measure


def fetch(features: Any) -> None:
    """Wait for features: a GPU computes them behind one's back."""
    if hasattr(features, "cpu"):
        features.cpu()


def warm(captioner: CaptioningModel, images: list[Any]) -> tuple[float, float]:
    """Median seconds of a decoded photo to its features, and to its caption."""
    captioner.caption_pixels(images[:1])
    encode, caption = [], []
    for image in images:
        start = time.perf_counter()
        fetch(captioner.encode_pixels([image]))
        between = time.perf_counter()
        captioner.caption_pixels([image])
        encode.append(between - start)
        caption.append(time.perf_counter() - between)
    return statistics.median(encode), statistics.median(caption)


def gallery(model: str, runtime: Any) -> Callable[[list[Path]], tuple[float, float]]:
    """Peak memory in MiB after a tenth of the photos and after all, of a run that writes a gallery."""
    import common

    captioner = open_model(model, runtime)

    def measure(paths: list[Path]) -> tuple[float, float]:
        found = {}
        photos = (Photo(str(path), path) for path in paths)
        with tempfile.TemporaryDirectory() as folder, make_writer(Path(folder) / "gallery.html") as writer:
            stream = captioner.caption_stream(
                photos, open_source=lambda photo: photo.open_with_preview(captioner.transform)
            )
            for number, done in enumerate(stream, 1):
                writer.add(Record(done.source.name, done.captions, preview=done.source.preview))
                found[number] = common._peak()
        return found[max(1, len(paths) // 10)], found[len(paths)]

    return measure


def report(models: dict[str, tuple[str, str]], paths: list[Path], rounds: int, count: int) -> None:
    """Let all take turns and print the tables; the other captioners get `count` photos a round."""
    contenders = {name: Contender(ours, *model) for name, model in models.items()}
    others = {name: Contender(captions_with, build, BATCH) for name, build in OTHERS.items() if count}
    times: dict[str, dict[str, list[float]]] = {name: {} for name in models}
    ones: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    of_others: dict[str, list[float]] = {name: [] for name in others}
    of_loop = []
    for contender in contenders.values():
        contender(("caption", paths[:64]))  # the first calls are slower
        contender(("encode", paths))
    for other in others.values():
        other(1)
    for _ in range(rounds):
        for name, contender in contenders.items():
            for what in ("encode", "caption"):
                times[name].setdefault(what, []).append(contender((what, paths)))
            ones[name].append(contender(("one", paths[:20])))
        of_loop.append(contenders["PyTorch"](("loop", paths[:60])) / len(paths[:60]))
        for name, other in others.items():
            of_others[name].append(other(count) / count)
    with Image.open(paths[0]) as first:
        width, height = first.size
    print(f"{len(paths)} photos (the first: {width} x {height}), 3 beams, {rounds} rounds, medians")
    print(f"{machine()}\n{load()}\n")
    print(
        "| | bare encoder, images/s | captioning, images/s | share |"
        + "".join(f" x {name} |" for name in ("loop", *others))
        + " warm: encoder, ms | caption, ms | ratio |\n| --- |"
        + " ---: |" * (7 + len(others))
    )
    for name, seconds in times.items():
        each = [value / len(paths) for value in seconds["caption"]]
        against = [f"{median_ratio(baseline, each):.1f}" for baseline in (of_loop, *of_others.values())]
        one = [value * 1e3 for value in (statistics.median(v[i] for v in ones[name]) for i in (0, 1))]
        ratio = median_ratio([v[1] for v in ones[name]], [v[0] for v in ones[name]])
        print(
            f"| {name} | {len(paths) / statistics.median(seconds['encode']):.1f}"
            f" | {1 / statistics.median(each):.1f}"
            f" | {median_ratio(seconds['encode'], seconds['caption']):.2f}"
            f" | {' | '.join(against)}"
            f" | {one[0]:.1f} | {one[1]:.1f} | {ratio:.2f} |"
        )
    print(f"\nPyTorch in a loop, a photo at a time: {1 / statistics.median(of_loop):.1f} images/s")
    for name, other in others.items():
        speed, memory = 1 / statistics.median(of_others[name]), other.peak()
        print(f"{name}: {speed:.2f} images/s, peak memory {memory:.0f} MiB")
        other.close()
    for contender in contenders.values():
        contender.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and memory of captioning a folder of photos.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of photos; by default some are made")
    parser.add_argument("--images", type=int, default=500, help="photos to use at most")
    parser.add_argument("--rounds", type=int, default=3, help="turns; medians are told")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder of the model, or its name in models/")
    parser.add_argument(
        "--others", type=int, default=8, help="photos for other captioners a round; 0 leaves them out"
    )
    parser.add_argument(
        "--exported", type=Path, help="folder with exports fp32, bf16, int8; else they are made"
    )
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results")
    args = parser.parse_args()
    place = "-".join(args.folder.resolve().parts[-2:]).lower() if args.folder else "made"
    dataset = re.sub(r"[^a-z0-9]+", "-", place).strip("-")
    with (
        tempfile.TemporaryDirectory() as made,
        recorded(f"caption-{dataset}", command_line(sys.argv[1:]), keep=args.keep),
    ):
        calibration, paths = split_photos(args.folder, args.images, Path(made))
        exported = exports(Path(made), calibration, args.model, args.exported)
        folders = {precision: str(folder) for precision, folder in exported.items()}
        models = {
            "PyTorch": (args.model, "auto"),
            "OpenVINO, bf16": (folders["bf16"], "openvino"),
            "OpenVINO, int8": (folders["int8"], "openvino"),
            "ONNX Runtime, fp32": (folders["fp32"], "onnx"),
            "ONNX Runtime, int8": (folders["int8"], "onnx"),
        }
        report(models, paths, args.rounds, args.others)
        print("\n| peak memory, MiB | after a tenth | after all |\n| --- | ---: | ---: |")
        for name, model in models.items():
            contender = Contender(gallery, *model)
            early, late = contender(paths)
            contender.close()
            print(f"| {name} | {early:.0f} | {late:.0f} |")


if __name__ == "__main__":
    main()
