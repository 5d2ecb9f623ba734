"""An image size's price and gain: CIDEr and BLEU-4 on datasets, images/s of the encoder and of captioning.

    python benchmarks/bench_image_size.py [DATASET ...] [--model everyday] [--sizes 224 288 320] [--keep]

The same model, given photos at each size (`--image-size`). Scores are of the datasets' validation split, by
`caption_stream` with three beams, against the captions of people. Speeds are of the first photos of these
splits: the bare encoder has them decoded in memory already, captioning takes their files (see
`bench_caption.py`). Each size has a process of its own; they take turns, and ratios against the first size
are medians of those within a round. An exported model (`showtell export`) is measured the same way. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_caption import ours
from common import Contender, command_line, load, machine, median_ratio, recorded

from showtell.commands.shared.options import open_model
from showtell.config import DataConfig
from showtell.data.prepare import by_people, load_images
from showtell.data.records import CaptionedImage
from showtell.data.splits import by_split
from showtell.evaluation.validation import score_captions
from showtell.utils.shipped import DEFAULT_MODEL

SCORES = ("CIDEr", "BLEU-4")
Datasets = dict[str, list[CaptionedImage]]


def validation_images(roots: Sequence[str], most: int | None) -> Datasets:
    """The first validation images of each dataset, by its name, with the captions of people alone."""
    datasets: Datasets = {}
    for root in roots:
        name, images, _ = load_images(DataConfig(root=root), Path("cache"))
        described = [image for image in map(by_people, by_split(images, "val")) if image.captions]
        datasets[name] = described[:most]
    return datasets


def scores_at(model: str, runtime: Any, size: int, datasets: Datasets) -> list[float]:
    """`SCORES` of the model on each dataset, one after the other."""
    captioner = open_model(model, runtime, image_size=size)
    found = []
    for images in datasets.values():
        stream = captioner.caption_stream(images, open_source=lambda image: image.path)
        candidates = {done.source.image_id: done.captions[0].text for done in stream if done.captions}
        scores = score_captions(candidates, {image.image_id: image.captions for image in images})
        found += [scores[name] for name in SCORES]
    return found


def speeds(
    model: str, runtime: Any, sizes: Sequence[int], paths: list[Path], rounds: int
) -> dict[str, dict[int, list[float]]]:
    """Seconds for all photos in each round, by what is done and size."""
    contenders = {size: Contender(ours, model, runtime, size) for size in sizes}
    times: dict[str, dict[int, list[float]]] = {
        what: {s: [] for s in sizes} for what in ("encode", "caption")
    }
    try:
        for contender in contenders.values():
            for what in times:
                contender((what, paths))  # the first calls are slower
        for _ in range(rounds):
            for size, contender in contenders.items():
                for what, seconds in times.items():
                    seconds[size].append(contender((what, paths)))
    finally:
        for contender in contenders.values():
            contender.close()
    return times


def report(args: argparse.Namespace) -> None:
    """Score, let the sizes take turns, and print the table."""
    datasets = validation_images(args.data, args.scored)
    scores = {size: scores_at(args.model, args.runtime, size, datasets) for size in args.sizes}
    share = -(-args.images // len(datasets))
    paths = [image.path for images in datasets.values() for image in images[:share]]
    times = speeds(args.model, args.runtime, args.sizes, paths, args.rounds)
    counts = ", ".join(f"{len(images):,} images of {name}" for name, images in datasets.items())
    print(f"{Path(args.model).name}, validation, 3 beams: {counts}")
    print(
        f"speeds: {len(paths)} photos of these, {args.rounds} rounds, medians; x: of {args.sizes[0]} pixels"
    )
    print(f"{machine()}\n{load()}\n")
    columns = [f"{name}, {score}" for name in datasets for score in SCORES]
    columns += ["encoder, images/s", "x", "captioning, images/s", "x"]
    print(f"| image size | {' | '.join(columns)} |\n| ---: |{' ---: |' * len(columns)}")
    for size in args.sizes:
        cells = [f"{value:.3f}" for value in scores[size]]
        for seconds in times.values():
            cells.append(f"{len(paths) / statistics.median(seconds[size]):.1f}")
            cells.append(f"{median_ratio(seconds[args.sizes[0]], seconds[size]):.2f}")
        print(f"| {size} | {' | '.join(cells)} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Scores and speed of a model by the size of its images.")
    parser.add_argument("data", nargs="*", default=["flickr8k"], help="datasets, as for --data.root")
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, help="a run, an exported model, a folder in models/"
    )
    parser.add_argument("--runtime", default="auto", help="as of showtell caption")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 288, 320], help="in pixels")
    parser.add_argument("--scored", type=int, help="images of each dataset to score at most; default: all")
    parser.add_argument("--images", type=int, default=160, help="photos whose time is taken")
    parser.add_argument("--rounds", type=int, default=3, help="turns; medians are told")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results")
    args = parser.parse_args()
    with recorded("image-size", command_line(sys.argv[1:]), keep=args.keep):
        report(args)


if __name__ == "__main__":
    main()
