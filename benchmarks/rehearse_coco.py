"""A rehearsal of COCO at its size, with stand-ins: what takes how long, how much memory, how much disk.

    python benchmarks/rehearse_coco.py [--folder FOLDER] [--rows 10000] [--steps 150] [--scale 1.0] [--keep]

118,287 training and 5,000 validation images with 616,767 captions are made in the official layout
(standins.py). Each part runs in a process of its own: annotations, vocabulary and the dataset; the feature
cache, planned in full and partly written; reading it at random, from the disk and from memory, beside plain
reads of the same file; training of the decoder of configs/coco.yaml with all captions, whose features are
read from the rows that are there. Needs 3 GB of disk, and takes some ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Contender, command_line, load, machine, recorded
from numpy.typing import NDArray
from standins import make_standins

from showtell.captioning.captioner import Captioner
from showtell.config import (
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    FeatureType,
    SearchConfig,
    TrainingConfig,
)
from showtell.data.dataset import CaptionDataset
from showtell.data.prepare import prepare_data
from showtell.data.records import CaptionedImage
from showtell.data.splits import by_split
from showtell.data.transforms import ImageTransform
from showtell.data.vocabulary import build_vocab
from showtell.decoder import make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.features.store import FeatureStore
from showtell.training.fit import fit
from showtell.training.self_critical import CaptionReward

Row = tuple[str, float, str]
"""What, seconds, and what came of it."""
CELLS, DIM = 49, 2048
CONFIG = DecoderConfig(embedding_dim=512, hidden_dim=512, attention_dim=512)
"""As in configs/coco.yaml."""
BATCH = 64
READ = 2_000
"""Rows of a measurement of reading."""


class FakeEncoder:
    """Gives numbers in the shape of ResNet50's features at no cost: what is measured is the cache."""

    transform = ImageTransform(224)
    grid_cells, feature_dim, producer = CELLS, DIM, "nothing"

    def __init__(self) -> None:
        self._pool = np.random.default_rng(0).random((64, CELLS, DIM), np.float32)

    def fingerprint(self) -> str:
        """Names the store."""
        return "rehearsal"

    def encode_pixels(self, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(N, R, D)."""
        return self._pool[np.arange(len(pixels)) % len(self._pool)]


class Enough(Exception):  # noqa: N818 - an end, no error
    """The steps that were asked for are done."""


class BorrowedRows:
    """Features of any image from the rows that are there, and the times at which batches were asked for.

    Args:
        store: holds some rows.
        batches: after so many, `Enough` is raised.
    """

    def __init__(self, store: FeatureStore, batches: int) -> None:
        self.store, self.batches = store, batches
        self.images = 0
        self.times: list[float] = []

    def __call__(self, image: CaptionedImage, _draw: int | None) -> torch.Tensor:
        """(R, D) of a row that depends on the image."""
        if self.images % BATCH == 0:
            self.times.append(time.perf_counter())
            if len(self.times) > self.batches:
                raise Enough
        self.images += 1
        return self.row(int(image.image_id) * 7919)

    def row(self, number: int) -> torch.Tensor:
        """(R, D) of a row."""
        return torch.from_numpy(np.require(self.store[number % len(self.store)], requirements="W"))


def memory() -> str:
    """Memory of this process; pages of mapped files apart, which the system takes back when it needs them."""
    with contextlib.suppress(OSError):
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        sizes = {line.split(":")[0]: line.split()[1] for line in text.splitlines() if line[:3] == "Rss"}
        own, mapped = (int(sizes[name]) / 1e6 for name in ("RssAnon", "RssFile"))
        return f"{own:.2f} GB, and {mapped:.2f} GB of mapped files"
    return "not known here"


@contextmanager
def timed(rows: list[Row], what: str) -> Iterator[list[str]]:
    """Add a row: what is put into the list is its remark."""
    remark: list[str] = []
    start = time.perf_counter()
    yield remark
    rows.append((what, time.perf_counter() - start, remark[0] if remark else ""))


def rehearse_data(folder: Path) -> list[Row]:
    """Annotations, vocabulary, dataset, and the captions that self-critical training rewards."""
    rows: list[Row] = []
    with timed(rows, "annotations, with a look at each file; splits; vocabulary") as remark:
        data = prepare_data(DataConfig(root=str(folder), test_fraction=0.0), folder / "cache")
        captions = sum(len(image.captions) for image in data.images)
        remark.append(f"{len(data.images):,} images, {captions:,} captions, {len(data.vocabulary):,} words")
    with timed(rows, "- of this the vocabulary"):
        build_vocab(caption for image in data.train for caption in image.captions)
    with timed(rows, "training captions as token ids") as remark:
        CaptionDataset(data.train, data.vocabulary, lambda _image, _draw: torch.empty(0), 30)
        remark.append(f"memory {memory()}")
    with timed(rows, "CIDEr-D's table for self-critical training") as remark:
        reward = CaptionReward([image.captions for image in data.train], data.vocabulary)
        remark.append(f"memory {memory()}")
    del reward
    return rows


def rehearse_store(folder: Path, count: int) -> list[Row]:
    """Plan the whole cache in both number formats, and write a part of it."""
    rows: list[Row] = []
    data = prepare_data(DataConfig(root=str(folder), test_fraction=0.0), folder / "cache")
    wanted = [(image.path, "full") for image in data.images]
    kinds: tuple[FeatureType, ...] = ("float16", "int8")
    for kind in kinds:
        store = FeatureStore(folder / "cache", FakeEncoder(), kind)
        with timed(rows, f"the cache's plan, {kind}") as remark:
            missing = store.missing(wanted)
            remark.append(f"{len(missing):,} rows, {len(missing) * store.row_bytes / 1e9:.1f} GB")
        size = count if kind == "float16" else count // 4
        with timed(rows, f"{size:,} rows written, {kind}: photos decoded, nothing encoded") as remark:
            report = store.extract(wanted[:size])
            rate = report.extracted / report.seconds
            remark.append(f"{rate:.0f} rows/s, {rate * store.row_bytes / 1e6:.0f} MB/s; memory {memory()}")
    encoder = CNNEncoder.from_config(EncoderConfig())
    with timed(rows, "256 rows with ResNet50") as remark:
        report = FeatureStore(folder / "cache-real", encoder).extract(wanted[:256])
        remark.append(f"{256 / report.seconds:.1f} images/s ({encoder.producer})")
    return rows


def rehearse_reading(folder: Path) -> list[Row]:
    """Read rows at random: plainly from the file, then through the store; from the disk, then from memory."""
    rows: list[Row] = []
    store = FeatureStore(folder / "cache", FakeEncoder())
    chosen = np.random.default_rng(0).permutation(len(store))[:READ].tolist()
    file = store.folder / "rows.bin"

    def plain() -> None:
        with file.open("rb", buffering=0) as opened:
            for row in chosen:
                os.pread(opened.fileno(), store.row_bytes, row * store.row_bytes)

    def through_the_store() -> None:
        for row in chosen:
            torch.from_numpy(np.require(store[row], requirements="W"))

    readers: dict[str, Callable[[], None]] = {"plain reads": plain, "the store": through_the_store}
    for where in ("disk", "memory"):
        for name, read in readers.items():
            if where == "disk":
                _forget(file)
            with timed(rows, f"{len(chosen):,} rows at random from {where}: {name}") as remark:
                read()
            _, seconds, _ = rows[-1]
            rate = len(chosen) / seconds
            remark.append(f"{rate:.0f} rows/s, {rate * store.row_bytes / 1e6:.0f} MB/s")
            rows[-1] = (*rows[-1][:2], remark[0])
    return rows


def _forget(file: Path) -> None:
    """Let the system forget what it holds of a file."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rehearse_training(folder: Path, steps: int) -> list[Row]:
    """Train for some steps on all captions, then caption some images as validation does."""
    rows: list[Row] = []
    data = prepare_data(DataConfig(root=str(folder), test_fraction=0.0), folder / "cache")
    rows_there = BorrowedRows(FeatureStore(folder / "cache", FakeEncoder()), steps)
    train, val = (
        CaptionDataset(by_split(data.images, split), data.vocabulary, rows_there, 30)
        for split in ("train", "val")
    )
    encoder = CNNEncoder.from_config(EncoderConfig())
    decoder = make_decoder(CONFIG, vocab_size=len(data.vocabulary), feature_dim=DIM, grid_cells=CELLS)
    captioner = Captioner(encoder, decoder, data.vocabulary, "resnet50-imagenet")
    config = TrainingConfig(batch_size=BATCH, checkpoint_minutes=1000)
    with timed(rows, f"{steps} steps of training, {BATCH} images each") as remark:
        with contextlib.suppress(Enough):
            fit(captioner, train, val, config, SearchConfig(), folder / "run")
        warm = min(20, steps // 2)
        step = (rows_there.times[-1] - rows_there.times[warm]) / (len(rows_there.times) - 1 - warm)
        rate = BATCH / step * sum(map(len, train.captions)) / len(train)
        epoch = len(train) / BATCH * step / 60
        remark.append(f"{rate:.0f} captions/s, an epoch {epoch:.1f} min; memory {memory()}")
    features = torch.stack([rows_there.row(number) for number in range(4 * BATCH)])
    with timed(rows, f"{len(features)} images captioned, 3 beams") as remark:
        captioner.eval()
        start = time.perf_counter()
        for part in features.to(encoder.dtype).split(BATCH):
            captioner.caption_features(part)
        rate = len(features) / (time.perf_counter() - start)
        remark.append(f"{rate:.0f} images/s, 5,000 images {5000 / rate / 60:.1f} min")
    return rows


def run_part(part: Callable[..., list[Row]], *args: Any) -> Callable[[Any], list[Row]]:
    """For a `Contender`: runs when it is asked."""
    return lambda _task: part(*args)


def print_part(name: str, part: Callable[..., list[Row]], *args: Any) -> None:
    """Run a part in a process of its own, and print its rows."""
    contender = Contender(run_part, part, *args)
    try:
        for what, seconds, remark in contender():
            print(f"| {name} | {what} | {seconds:.1f} | {remark} |")
        print(f"| {name} | most memory, mapped files included | | {contender.peak() / 1024:.2f} GiB |")
    finally:
        contender.close()


def main() -> None:
    """Rehearse and print."""
    parser = argparse.ArgumentParser(description="COCO's size, with stand-ins.")
    parser.add_argument("--folder", type=Path, help="where the stand-ins go; default: one that is deleted")
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the cache that are written")
    parser.add_argument("--steps", type=int, default=150, help="steps of training")
    parser.add_argument("--scale", type=float, default=1.0, help="share of COCO's size")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results")
    args = parser.parse_args()
    with recorded("coco", command_line(sys.argv[1:]), keep=args.keep), tempfile.TemporaryDirectory() as made:
        folder = args.folder or Path(made)
        start = time.perf_counter()
        counts = make_standins(folder, args.scale).items()
        seconds = time.perf_counter() - start
        print(f"{machine()}\n\n| part | what | s | |\n| --- | --- | ---: | --- |")
        text = ", ".join(f"{split} {images:,} and {captions:,}" for split, (images, captions) in counts)
        print(f"| stand-ins | made | {seconds:.1f} | images and captions: {text} |")
        print_part("data", rehearse_data, folder)
        print_part("cache", rehearse_store, folder, args.rows)
        print_part("reading", rehearse_reading, folder)
        print_part("training", rehearse_training, folder, args.steps)
        free = shutil.disk_usage(folder).free / 1e9
        print(f"\n{free:.0f} GB of disk were free.", load())


if __name__ == "__main__":
    main()
