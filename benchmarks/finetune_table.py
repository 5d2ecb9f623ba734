"""How many photos give what: fine-tuning, training from scratch and the initial model alone, by photos.

    python benchmarks/finetune_table.py --init everyday --data FLICKR8K --retain COCO_8K

For each size and seed, so many training photos are drawn from --data, and a model is trained on them by
`main.py --init NAME` and by `main.py --init none`. CIDEr and BLEU-4 are on the validation photos of --data,
which also choose the epoch; "kept" is CIDEr on the validation photos of --retain, which stands for what the
initial model knew. Means over the seeds, with the standard deviation of CIDEr. From scratch, batches are as
small as in fine-tuning and epochs more (30): the default batches of 64 are few steps of few photos. Prints
Markdown.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, pstdev

from common import command_line, recorded

from showtell.captioning.captioner import Captioner
from showtell.config import DataConfig, SearchConfig
from showtell.data.decode_ahead import batched
from showtell.data.prepare import prepare_data
from showtell.data.records import CaptionedImage
from showtell.evaluation.validation import score_captions
from showtell.features.extraction import extract_features
from showtell.features.store import CachedFeatures, FeatureStore
from showtell.utils.shipped import DEFAULT_MODEL

MAIN = Path(__file__).parents[1] / "main.py"
SCRATCH = ["--training.batch_size", "16", "--training.epochs", "30"]


@dataclass(frozen=True)
class Scores:
    """Of a model: CIDEr and BLEU-4 on the target, CIDEr on the retention set."""

    cider: float
    bleu: float
    kept: float


class Bench:
    """Trains and scores; photos are encoded once.

    Args:
        args: the command line.
        work: folder for what is written.
    """

    def __init__(self, args: argparse.Namespace, work: Path) -> None:
        self.args, self.work = args, work
        target = prepare_data(DataConfig(root=args.data, test_fraction=0.0), work)
        self.train, self.val = target.train, target.val[: args.scored]
        self.kept = prepare_data(DataConfig(root=args.retain, test_fraction=0.0), work).val[: args.scored]

    def score(self, model: str) -> Scores:
        """The scores of a model by name."""
        captioner = Captioner.load(model)
        store = FeatureStore(Path(self.args.cache), captioner.encoder)
        extract_features(store, [*self.val, *self.kept], ("full",), skip_bad=False)
        load = CachedFeatures(store)
        target, kept = (_score(captioner, load, images) for images in (self.val, self.kept))
        return Scores(target["CIDEr"], target["BLEU-4"], kept["CIDEr"])

    def trained(self, size: int, seed: int, *options: str) -> Scores:
        """The scores of a model trained on `size` photos by the command."""
        drawn = random.Random(seed).sample(self.train, size)
        data, out = self.work / "data.jsonl", self.work / f"run-{size}-{seed}-{len(options)}"
        data.write_text("".join(_lines(drawn, "train")) + "".join(_lines(self.val, "val")))
        command = [sys.executable, str(MAIN), "--data.root", str(data), "--data.test_fraction", "0"]
        command += ["--cache.dir", self.args.cache, "--training.seed", str(seed), "--out", str(out), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        return self.score(str(out))


def _score(captioner: Captioner, load: CachedFeatures, images: Sequence[CaptionedImage]) -> dict[str, float]:
    import torch

    candidates = {}
    for batch in batched(iter(images), 64):
        features = torch.stack([load(image, None) for image in batch]).to(captioner.encoder.dtype)
        found = captioner.caption_features(features.to(captioner.encoder.device), SearchConfig())
        candidates |= {image.image_id: captions[0].text for image, captions in zip(batch, found, strict=True)}
    return score_captions(candidates, {image.image_id: image.captions for image in images})


def _lines(images: Iterable[CaptionedImage], split: str) -> Iterable[str]:
    """The captions of images as lines of a JSON Lines dataset."""
    for image in images:
        for caption in image.captions:
            yield json.dumps({"image": str(image.path.resolve()), "caption": caption, "split": split}) + "\n"


def row(size: str, what: str, scores: Sequence[Scores]) -> str:
    """A row of the table."""
    cider = [each.cider for each in scores]
    spread = f" ± {pstdev(cider):.3f}" if len(cider) > 1 else ""
    return (
        f"| {size} | {what} | {mean(cider):.3f}{spread} | {mean(each.bleu for each in scores):.3f} "
        f"| {mean(each.kept for each in scores):.3f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--init", default=DEFAULT_MODEL, help="the initial model")
    add("--data", required=True, help="the dataset to train on: its folder, or its name in SHOWTELL_DATA")
    add("--retain", required=True, help="the dataset that shows what is kept")
    add("--sizes", type=int, nargs="+", default=[20, 80, 200, 500, 1000], help="training photos")
    add("--seeds", type=int, default=3, help="runs of each size")
    add("--scored", type=int, default=None, help="validation photos of each dataset at most")
    add("--cache", default="cache", help="folder of the feature cache")
    add("--keep", action="store_true", help="keep the table in benchmarks/results")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as work,
        recorded("finetune", command_line(sys.argv[1:]), keep=args.keep),
    ):
        bench = Bench(args, Path(work))
        counts = (
            f"{len(bench.val)} photos of {Path(args.data).name}",
            f"{len(bench.kept)} of {Path(args.retain).name}",
        )
        print(
            f"From {Path(args.init).name}; scored on {counts[0]}, kept on {counts[1]}; {args.seeds} seeds\n"
        )
        print("| photos | training | CIDEr | BLEU-4 | kept: CIDEr |\n| --- | --- | --- | --- | --- |")
        print(row("0", f"{Path(args.init).name} alone", [bench.score(args.init)]), flush=True)
        for size in (size for size in args.sizes if size <= len(bench.train)):
            for what, options in (
                ("from scratch", ["--init", "none", *SCRATCH]),
                ("fine-tuned", ["--init", args.init]),
            ):
                scores = [bench.trained(size, seed, *options) for seed in range(args.seeds)]
                print(row(str(size), what, scores), flush=True)


if __name__ == "__main__":
    main()
