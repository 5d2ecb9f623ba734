"""How much of the bare encoder's speed captioning keeps, and whether its memory grows with the photos.

    python benchmarks/bench_caption.py [FOLDER] [--images 500] [--rounds 3] [--model flickr8k]

Both take the same photos: the bare encoder has them decoded in memory already and only encodes them, in
batches of 16 of one shape; captioning decodes them from their files, encodes, and searches with three beams,
through `Captioner.caption_stream` as `inference.py` does. The two alternate, so that whatever else the
machine does disturbs both alike. Peak memory is that of a process of its own, which writes a gallery too.
Without a folder, photos of 640 x 480 are made of those in scikit-image. Prints Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_extract import SUFFIXES, machine, make_photos, time_bare
from PIL import Image

from showtell.captioner import Captioner
from showtell.data.loading import decode_ahead
from showtell.features import AT_ONCE
from showtell.output import Photo, Record, make_writer


def time_captions(captioner: Captioner, paths: list[Path]) -> float:
    """Seconds that files take to become captions."""
    start = time.perf_counter()
    done = list(captioner.caption_stream(paths, open_source=lambda path: path))
    seconds = time.perf_counter() - start
    assert all(item.captions for item in done)
    return seconds


def peaks(model: str, paths: list[Path]) -> tuple[float, float]:
    """Peak memory in MiB after a tenth of the photos and after all, of a run that writes a gallery."""
    captioner, found = Captioner.load(model), {}
    photos = (Photo(str(path), path) for path in paths)
    with tempfile.TemporaryDirectory() as folder, make_writer(Path(folder) / "gallery.html") as writer:
        stream = captioner.caption_stream(
            photos,
            open_source=lambda photo: photo.open_with_preview(captioner.transform),
        )
        for number, done in enumerate(stream, 1):
            writer.add(Record(done.source.name, done.captions, preview=done.source.preview))
            found[number] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return found[max(1, len(paths) // 10)] / unit, found[len(paths)] / unit


def report(model: str, paths: list[Path], rounds: int) -> None:
    """Alternate the two and print the tables."""
    captioner = Captioner.load(model)
    encoder = captioner.encoder
    pixels = [item.pixels for item in decode_ahead(paths, encoder.transform.pixels)]
    decoded = [pixels[i : i + AT_ONCE] for i in range(0, len(pixels), AT_ONCE)]
    contenders: dict[str, Callable[[], float]] = {
        "bare encoder": lambda: time_bare(encoder, decoded),
        "captioning, 3 beams": lambda: time_captions(captioner, paths),
    }
    time_captions(captioner, paths[:32])  # the first calls are slower
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            seconds[name].append(measure())
    with Image.open(paths[0]) as first:
        width, height = first.size
    print(f"{len(paths)} photos (the first: {width} x {height}), model {model}, {rounds} rounds")
    print(machine())
    with contextlib.suppress(OSError):
        print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} (more than its cores: disturbed)")
    print("\n| | images/s (median) | least | most |\n| --- | --- | --- | --- |")
    for name, times in seconds.items():
        speeds = [len(paths) / value for value in times]
        print(f"| {name} | {statistics.median(speeds):.1f} | {min(speeds):.1f} | {max(speeds):.1f} |")
    ratios = [bare / own for bare, own in zip(*seconds.values(), strict=True)]
    print(f"\nratio: {statistics.median(ratios):.3f} (median; {min(ratios):.3f} to {max(ratios):.3f})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and memory of captioning a folder of photos.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of photos; by default some are made")
    parser.add_argument("--images", type=int, default=500, help="photos to use at most")
    parser.add_argument("--rounds", type=int, default=3, help="alternations; the median is told")
    parser.add_argument("--model", default="flickr8k", help="folder of the model, or its name in models/")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if args.folder is None:
            paths = make_photos(Path(made), args.images)
        else:
            paths = sorted(p for p in args.folder.iterdir() if p.suffix.lower() in SUFFIXES)[: args.images]
        if not paths:
            parser.error(f"{args.folder}: no photos ({', '.join(sorted(SUFFIXES))}) there")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            early, late = pool.apply(peaks, (args.model, paths))
        report(args.model, paths, args.rounds)
        print(f"\npeak memory: {early:.0f} MiB after {max(1, len(paths) // 10)} photos,", end=" ")
        print(f"{late:.0f} MiB after {len(paths)}")


if __name__ == "__main__":
    main()
