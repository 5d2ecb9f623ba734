"""How much faster CIDEr-D is scored than by `pycocoevalcap`, and whether the scores are the same.

    python benchmarks/bench_cider.py [--data ../shared/data/flickr8k] [--captions 320] [--rounds 7]

Equality: each of the captions of a validation photo in turn is scored against the photo's others, with the
document frequencies of the photos' other captions.

Speed: a batch as in self-critical training, five candidates a training photo, each scored against the
photo's captions with the document frequencies of all training photos. A candidate is a caption of the photo
with a third of its words swapped for others; the end token counts as a word. `pycocoevalcap` is given its
document frequencies; timed are its n-gram counts of candidates and references (it has no way to keep the
references' vectors) and its scores, and the scores alone. They alternate, so that whatever else the machine
does disturbs all alike; ratios are within a round. Prints Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.cider.cider_scorer import CiderScorer, cook_refs

from showtell.data.annotations import load_annotations
from showtell.data.splits import by_split
from showtell.data.tokenizer import tokenize
from showtell.evaluation.cider import CiderD, cider_d

SAMPLES = 5
END = "</s>"
Words = list[str]


class SizedList(list[Any]):
    """A batch of references that tells `pycocoevalcap` the number of all images, as its log(images) needs."""

    def __init__(self, items: list[Any], size: int) -> None:
        super().__init__(items)
        self.size = size

    def __len__(self) -> int:
        return self.size


def compare(images: list[list[Words]]) -> str:
    """Score the leave-one-out captions of all images in both ways."""
    ours, theirs, means = [], [], []
    for turn in range(min(map(len, images))):
        said = [captions[turn] for captions in images]
        wanted = [captions[:turn] + captions[turn + 1 :] for captions in images]
        mean, scores = Cider().compute_score(
            {i: [" ".join(words) for words in captions] for i, captions in enumerate(wanted)},
            {i: [" ".join(words)] for i, words in enumerate(said)},
        )
        ours.append(cider_d(said, wanted))
        theirs.append(scores)
        means.append(abs(ours[-1].mean() - mean))
    return (
        f"{len(images)} validation photos x {len(ours)} captions, each against the others: mean"
        f" {np.mean(ours):.4f}, largest difference {np.abs(np.array(ours) - theirs).max():.1e} of a caption,"
        f" {max(means):.1e} of a mean"
    )


def sample(images: list[list[Words]], size: int) -> tuple[list[int], list[Words]]:
    """Draw places of images, and candidates for them."""
    draw = random.Random(0)
    words = [word for captions in images for word in captions[0][:-1]]
    batch = [i for i in draw.sample(range(len(images)), size // SAMPLES) for _ in range(SAMPLES)]
    chosen = [draw.choice(images[i]) for i in batch]
    return batch, [
        [draw.choice(words) if draw.random() < 1 / 3 else w for w in caption] for caption in chosen
    ]


def make_ours(
    images: list[list[Words]], batch: list[int], candidates: list[Words]
) -> tuple[float, Callable[[], NDArray[np.float64]]]:
    """Seconds to prepare the references, and what scores candidates, numbered and padded beforehand."""
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    references = [[[numbers[word] for word in words] for words in captions] for captions in images]
    start = time.perf_counter()
    scorer = CiderD(references)
    seconds = time.perf_counter() - start
    lengths = np.array([len(words) for words in candidates])
    padded = np.zeros((len(candidates), lengths.max()), np.int64)
    for row, words in zip(padded, candidates, strict=True):
        row[: len(words)] = [numbers[word] for word in words]
    where = np.array(batch)
    return seconds, lambda: scorer.score(where, padded, lengths)


def make_theirs(
    images: list[list[Words]], batch: list[int], candidates: list[Words]
) -> tuple[Callable[[], NDArray[np.float64]], Callable[[], NDArray[np.float64]]]:
    """`pycocoevalcap` with document frequencies at hand: all that a batch needs, and the scores alone."""
    texts = [[" ".join(words) for words in captions] for captions in images]
    said = [" ".join(words) for words in candidates]
    scorer = CiderScorer()
    scorer.crefs = [cook_refs(captions) for captions in texts]
    scorer.compute_doc_freq()

    def score() -> NDArray[np.float64]:
        return np.array(scorer.compute_cider())

    def cook_and_score() -> NDArray[np.float64]:
        scorer.crefs, scorer.ctest = [], []
        for image, text in zip(batch, said, strict=True):
            scorer.cook_append(text, texts[image])
        scorer.crefs = SizedList(scorer.crefs, len(images))
        return score()

    return cook_and_score, score


def machine() -> str:
    """Processor, cores, load and NumPy in a line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    load = ""
    with contextlib.suppress(OSError):
        load = f", load {os.getloadavg()[0]:.1f} (more than the cores: disturbed)"
    return f"{cpu}, {os.cpu_count()} cores{load}, one thread, NumPy {np.__version__}"


def report(images: list[list[Words]], size: int, rounds: int) -> None:
    """Alternate the two and print the table."""
    batch, candidates = sample(images, size)
    prepared, ours = make_ours(images, batch, candidates)
    theirs, scores_alone = make_theirs(images, batch, candidates)
    difference = np.abs(ours() - theirs()).max()  # the first calls are slower
    contenders = {
        "showtell": ours,
        "pycocoevalcap, counts and scores": theirs,
        "pycocoevalcap, scores alone": scores_alone,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            start = time.perf_counter()
            measure()
            seconds[name].append(time.perf_counter() - start)
    mean_words = statistics.mean(map(len, candidates))
    print(f"\n{size} candidates of {mean_words:.1f} words (end included), mean score {ours().mean():.3f},")
    print(f"{len(images)} training photos prepared in {prepared:.1f} s; {rounds} rounds")
    print(f"largest difference of the batch: {difference:.1e}\n")
    print("| | ms a batch (median) | least | most | x showtell (median, least, most) |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, times in seconds.items():
        milliseconds = [value * 1e3 for value in times]
        ratios = [taken / own for taken, own in zip(times, seconds["showtell"], strict=True)]
        print(
            f"| {name} | {statistics.median(milliseconds):.1f} | {min(milliseconds):.1f}"
            f" | {max(milliseconds):.1f} | {statistics.median(ratios):.0f}, {min(ratios):.0f},"
            f" {max(ratios):.0f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Equality and speed of CIDEr-D against pycocoevalcap.")
    parser.add_argument("--data", default="../shared/data/flickr8k", type=Path, help="the dataset's folder")
    parser.add_argument("--captions", default=320, type=int, help="candidates a batch, a multiple of 5")
    parser.add_argument("--rounds", default=7, type=int, help="alternations; the median is told")
    args = parser.parse_args()
    images = load_annotations(args.data).images
    held_out, training = (
        [[tokenize(caption) for caption in image.captions] for image in by_split(images, split)]
        for split in ("val", "train")
    )
    print(machine())
    print(f"\n{compare(held_out)}")
    report([[[*words, END] for words in captions] for captions in training], args.captions, args.rounds)


if __name__ == "__main__":
    main()
