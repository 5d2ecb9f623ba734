"""Whether the scores in Python are those of `pycocoevalcap` with its tokenizer in Java, and how much faster.

    python benchmarks/bench_metrics.py [--captions FILE] [--data FOLDER] [--predictions FILE] [--rounds 3]

Two sets of captions: COCO's 25,014 of the validation photos of 2017, where each photo's first caption is
the prediction and the others are its references; and a model's captions of a dataset's validation photos
(those of the included model, unless a file of predictions is named). Both sides start from the captions
as written and end with BLEU-1 to BLEU-4, ROUGE-L and CIDEr of the corpus and of each photo. They alternate,
so that whatever else the machine does disturbs both alike; ratios are within a round. Needs Java, for the
reference. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from showtell.data.annotations import load_annotations
from showtell.data.splits import by_split
from showtell.data.tokenizer import tokenize
from showtell.evaluation.bleu import bleu
from showtell.evaluation.cider import cider_d
from showtell.evaluation.predictions import read_predictions
from showtell.evaluation.rouge import rouge_l
from showtell.utils.shipped import DEFAULT_MODEL

NAMES = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")
SAME_TOKENS, SAME_SCORE, FASTER = 0.9995, 0.0005, 5.0


@dataclass(frozen=True)
class Task:
    """Captions to score: image -> caption, image -> references."""

    name: str
    candidates: dict[str, str]
    references: dict[str, list[str]]


@dataclass(frozen=True)
class Scored:
    """Words of all captions in a fixed order, scores of the corpus, of each image, and seconds."""

    words: list[list[str]]
    corpus: dict[str, float]
    images: dict[str, np.ndarray]
    seconds: dict[str, float]


def coco_task(file: Path) -> Task:
    """Leave-one-out: each image's first caption against its others."""
    captions = defaultdict(list)
    for annotation in json.loads(file.read_text(encoding="utf-8"))["annotations"]:
        captions[str(annotation["image_id"])].append(annotation["caption"])
    number = sum(map(len, captions.values()))
    return Task(
        f"COCO, {number:,} captions, leave-one-out",
        {image: some[0] for image, some in captions.items()},
        {image: some[1:] for image, some in captions.items()},
    )


def model_task(data: Path, predictions: Path | None) -> Task:
    """A model's captions of the validation photos."""
    images = by_split(load_annotations(data).images, "val")
    references = {image.image_id: list(image.captions) for image in images}
    if predictions:
        candidates = {
            image: texts[0] for image, texts in read_predictions(predictions, images).captions.items()
        }
    else:
        from showtell.captioning.captioner import Captioner

        stream = Captioner.load(DEFAULT_MODEL).caption_stream(images, open_source=lambda image: image.path)
        candidates = {done.source.image_id: done.captions[0].text for done in stream}
    return Task(f"{data.name} dev, {len(candidates):,} captions of a model", candidates, references)


def ours(task: Task) -> Scored:
    """Tokenize and score in Python."""
    start = time.perf_counter()
    candidates = [tokenize(caption) for caption in task.candidates.values()]
    references = [[tokenize(caption) for caption in task.references[image]] for image in task.candidates]
    tokenized = time.perf_counter()
    corpus_bleu, image_bleu = bleu(candidates, references)
    rouge, cider = rouge_l(candidates, references), cider_d(candidates, references)
    seconds = {"tokenizer": tokenized - start, "scores": time.perf_counter() - tokenized}
    return Scored(
        [*candidates, *(words for captions in references for words in captions)],
        dict(zip(NAMES, [*corpus_bleu, rouge.mean(), cider.mean()], strict=True)),
        dict(zip(NAMES, [*image_bleu.T, rouge, cider], strict=True)),
        seconds,
    )


def theirs(task: Task) -> Scored:
    """Tokenize and score by the reference."""
    start = time.perf_counter()
    tokenizer = PTBTokenizer()
    candidates = tokenizer.tokenize({image: [{"caption": text}] for image, text in task.candidates.items()})
    references = tokenizer.tokenize(
        {i: [{"caption": text} for text in task.references[i]] for i in task.candidates}
    )
    tokenized = time.perf_counter()
    corpus_bleu, image_bleu = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, rouges = Rouge().compute_score(references, candidates)
    cider, ciders = Cider().compute_score(references, candidates)
    seconds = {"tokenizer": tokenized - start, "scores": time.perf_counter() - tokenized}
    texts = [
        *(candidates[i][0] for i in task.candidates),
        *(text for i in task.candidates for text in references[i]),
    ]
    return Scored(
        [text.split(" ") if text else [] for text in texts],
        dict(zip(NAMES, [*corpus_bleu, rouge, cider], strict=True)),
        dict(zip(NAMES, map(np.asarray, [*image_bleu, rouges, ciders]), strict=True)),
        seconds,
    )


def report(task: Task, rounds: int) -> bool:
    """Alternate the two, print what was found, and tell whether all bars are held."""
    pairs = [(ours(task), theirs(task)) for _ in range(rounds)]
    mine, reference = pairs[0]
    captions = [
        *task.candidates.values(),
        *(text for image in task.candidates for text in task.references[image]),
    ]
    differ = [i for i, (a, b) in enumerate(zip(mine.words, reference.words, strict=True)) if a != b]
    same = 1 - len(differ) / len(captions)
    print(f"\n## {task.name}\n\nTokens identical: {same:.4%} of {len(captions):,} captions.")
    for i in differ[:5]:
        print(f"- {captions[i]!r}: {' '.join(mine.words[i])} | {' '.join(reference.words[i])}")
    worst = compare_scores(mine, reference)
    ratio = compare_seconds(pairs)
    bars = {
        f"tokens identical for {SAME_TOKENS:.2%} of the captions": same >= SAME_TOKENS,
        f"scores within {SAME_SCORE}": worst <= SAME_SCORE,
        f"at least {FASTER:.0f} times as fast": ratio >= FASTER,
    }
    print()
    for bar, held in bars.items():
        print(f"- {bar}: {'held' if held else 'MISSED'}")
    return all(bars.values())


def compare_scores(mine: Scored, reference: Scored) -> float:
    """Print a table, and return the largest difference of a corpus."""
    print("\n| | showtell | pycocoevalcap | difference | largest of an image |")
    print("| --- | ---: | ---: | ---: | ---: |")
    worst = 0.0
    for name in NAMES:
        own, other = mine.corpus[name], reference.corpus[name]
        worst = max(worst, abs(own - other))
        largest = np.abs(mine.images[name] - reference.images[name]).max()
        print(f"| {name} | {own:.6f} | {other:.6f} | {abs(own - other):.1e} | {largest:.1e} |")
    return worst


def compare_seconds(pairs: list[tuple[Scored, Scored]]) -> float:
    """Print a table, and return the median ratio of all that is done."""
    print("\n| seconds (median) | showtell | pycocoevalcap | ratio (median, least, most) |")
    print("| --- | ---: | ---: | ---: |")
    ratio = 0.0
    for name in ("tokenizer", "scores", "all"):
        own, other = ([spent(scored, name) for scored in side] for side in zip(*pairs, strict=True))
        ratios = [b / a for a, b in zip(own, other, strict=True)]
        ratio = statistics.median(ratios)
        medians = f"{statistics.median(own):.2f} | {statistics.median(other):.2f}"
        print(f"| {name} | {medians} | {ratio:.1f}, {min(ratios):.1f}, {max(ratios):.1f} |")
    return ratio


def spent(scored: Scored, name: str) -> float:
    """Seconds of a part, or of all."""
    return sum(scored.seconds.values()) if name == "all" else scored.seconds[name]


def machine() -> str:
    """Processor, cores and load in a line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, NumPy {np.__version__}"


def main() -> int:
    """Compare; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--captions", default="../shared/data/coco-annotations/captions_val2017.json", type=Path)
    add("--data", default="../shared/data/flickr8k", type=Path, help="a dataset with validation photos")
    add("--predictions", type=Path, help="a model's captions of them; default: the included model captions")
    add("--rounds", default=3, type=int, help="alternations; the median is told")
    args = parser.parse_args()
    if shutil.which("java") is None:
        sys.exit("error: the reference's tokenizer needs Java; install a Java runtime")
    print(f"{machine()}; {args.rounds} rounds")
    tasks = [coco_task(args.captions), model_task(args.data, args.predictions)]
    held = [report(task, args.rounds) for task in tasks]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
