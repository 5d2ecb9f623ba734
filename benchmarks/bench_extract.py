"""How much of the bare encoder's speed feature extraction keeps.

    python benchmarks/bench_extract.py [FOLDER] [--images 320] [--rounds 3]

Both take the same photos: the bare encoder has them decoded in memory already and only encodes them, in
batches of 16; the extraction decodes them from their files, encodes, and writes a new feature store. The two
alternate, so that whatever else the machine does disturbs both alike. Without a folder, photos of 640 x 480
are made of those in scikit-image. Prints a Markdown table; the speeds are medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import machine, take_photos
from numpy.typing import NDArray
from PIL import Image

from showtell.config import EncoderConfig
from showtell.data.decode_ahead import decode_ahead
from showtell.encoder.cnn import CNNEncoder
from showtell.features.store import FeatureStore
from showtell.utils.devices import pick_device

AT_ONCE = 64
"""Images that the bare encoder is given together; those of one shape share its batches."""


def time_bare(encoder: CNNEncoder, batches: list[list[NDArray[np.uint8]]]) -> float:
    """Seconds that the encoder takes for images of uint8 in memory, 64 at a time."""
    start = time.perf_counter()
    for batch in batches:
        encoder.encode_pixels(batch).cpu()
    return time.perf_counter() - start


def time_extraction(encoder: CNNEncoder, paths: list[Path]) -> float:
    """Seconds that files take to become a feature store."""
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder), encoder)
        start = time.perf_counter()
        report = store.extract([(path, "full") for path in paths])
        seconds = time.perf_counter() - start
        assert report.extracted == len(paths)
        return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of feature extraction against the bare encoder.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of photos; by default some are made")
    parser.add_argument("--images", type=int, default=320, help="photos to use at most")
    parser.add_argument("--rounds", type=int, default=3, help="alternations; the median is told")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        paths = take_photos(args.folder, args.images, Path(made))
        report(CNNEncoder.from_config(EncoderConfig()).to(pick_device()), paths, args.rounds)


def report(encoder: CNNEncoder, paths: list[Path], rounds: int) -> None:
    """Alternate the two and print the table."""
    pixels = [item.pixels for item in decode_ahead(paths, encoder.transform.pixels)]
    decoded = [pixels[i : i + AT_ONCE] for i in range(0, len(pixels), AT_ONCE)]
    contenders: dict[str, Callable[[], float]] = {
        "bare encoder": lambda: time_bare(encoder, decoded),
        "extraction": lambda: time_extraction(encoder, paths),
    }
    time_bare(encoder, decoded[:2])  # the first calls are slower
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            seconds[name].append(measure())
    with Image.open(paths[0]) as first:
        width, height = first.size
    print(f"{len(paths)} photos (the first: {width} x {height}), {str(encoder.dtype).removeprefix('torch.')}")
    print(f"{machine()}\n")
    print("| | images/s (median) | least | most |\n| --- | --- | --- | --- |")
    for name, times in seconds.items():
        speeds = [len(paths) / value for value in times]
        print(f"| {name} | {statistics.median(speeds):.1f} | {min(speeds):.1f} | {max(speeds):.1f} |")
    ratios = [bare / own for bare, own in zip(*seconds.values(), strict=True)]
    print(f"\nratio: {statistics.median(ratios):.3f} (median; {min(ratios):.3f} to {max(ratios):.3f})")
    fastest = min(seconds["bare encoder"]) / min(seconds["extraction"])
    print(f"ratio of the fastest rounds, which on a busy machine were disturbed least: {fastest:.3f}")


if __name__ == "__main__":
    main()
