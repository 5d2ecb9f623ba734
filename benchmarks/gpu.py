"""What a GPU does with showtell, beside the encoder alone and a plain training loop on the same card.

    python benchmarks/gpu.py FOLDER [--device cuda] [--photos 6000] [--small] [--no-tests] [--keep]

FOLDER holds photos with captions in a layout that showtell reads (Flickr8k's, COCO's, ...). It takes less
than five minutes on a GPU and needs showtell's core alone. `--device cpu --small` tries it on a CPU. Prints
Markdown: images or captions per second, seconds, and the GPU memory of each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from common import command_line, machine, recorded
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.config import (
    DataConfig,
    DecoderConfig,
    EncoderConfig,
    SearchConfig,
    SelfCriticalConfig,
    TrainingConfig,
)
from showtell.data.dataset import CaptionDataset, CaptionLoader
from showtell.data.prepare import PreparedData, prepare_data
from showtell.decoder import make_decoder, packed_targets
from showtell.encoder.cnn import CNNEncoder
from showtell.features.encoding import ExtractionReport
from showtell.features.extraction import views_of
from showtell.features.store import FeatureStore
from showtell.features.table import FeatureTable
from showtell.training.fit import fit

ROOT = Path(__file__).resolve().parents[1]
TESTED = [
    "tests/test_on_each_device.py",
    "tests/decoder",
    "tests/training",
    "tests/encoder/test_cnn.py",
    "tests/features/test_store.py",
]
TESTED += ["tests/features/test_table.py", "tests/search/test_beams.py", "tests/captioning/test_captioner.py"]


@dataclass
class Bench:
    """What the measurements share.

    Attributes:
        device: where the model computes.
        data: the photos and their captions.
        encoder: on the device.
        small: do little, to see that it runs.
        rows: of the table: what, figure, GPU memory.
    """

    device: torch.device
    data: PreparedData
    encoder: CNNEncoder
    small: bool
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    @contextmanager
    def row(self, what: str) -> Iterator[list[str]]:
        """A row of the table: its figure is what is put in the list; a failure is a row too."""
        figure: list[str] = []
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        try:
            yield figure
        except Exception as error:  # the other rows are worth having
            figure.append(f"failed: {type(error).__name__}: {str(error)[:300]}")
        seconds = time.perf_counter() - start
        peak = torch.cuda.max_memory_allocated() / 2**20 if self.device.type == "cuda" else 0
        memory = f"{peak:,.0f} MiB" if peak else ""
        self.rows.append((what, ", ".join(figure), memory))
        print(f"[{seconds:5.1f} s] {what}: {', '.join(figure)} {memory}", file=sys.stderr, flush=True)

    def synchronize(self) -> None:
        """Wait for the GPU."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def rate(self, step: Callable[[], int], seconds: float, *, warm_up: int = 3) -> float:
        """Items per second of a step that returns how many it did."""
        for _ in range(warm_up):
            step()
        self.synchronize()
        start, items = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            items += step()
        self.synchronize()
        return items / (time.perf_counter() - start)


def encoder_alone(bench: Bench) -> None:
    """The network on random pixels that are on the device."""
    size, count = bench.encoder.transform.size, bench.encoder.batch_size
    with bench.row(f"encoder alone, {size} pixels, batches of {count}") as figure, torch.inference_mode():
        images = torch.randn(count, 3, size, size, device=bench.device, dtype=bench.encoder.dtype)
        images = images.contiguous(memory_format=torch.channels_last)

        def step() -> int:
            bench.encoder(images)
            return count

        figure.append(f"{bench.rate(step, 1 if bench.small else 3):,.0f} images/s")


def extraction(bench: Bench, work: Path) -> FeatureTable:
    """Photos on the disk to features in the memory of the device, and to the cache on the disk."""
    images = bench.data.train + bench.data.val
    wanted = views_of(images, ("full",))
    report = ExtractionReport()
    with bench.row(f"extraction of {len(wanted):,} photos to memory") as figure:
        rates = []
        for _ in range(2):
            report = ExtractionReport()
            table = FeatureTable.compute(bench.encoder, wanted, ("full",), report, skip_bad=False)
            bench.synchronize()
            rates.append(report.extracted / report.seconds)
        figure.append(f"{rates[1]:,.0f} images/s, the first time {rates[0]:,.0f}")
    with bench.row("extraction to the feature cache (float16)") as figure:
        report = FeatureStore(work, bench.encoder).extract(wanted)
        figure.append(f"{report.extracted / report.seconds:,.0f} images/s")
    return table


def new_captioner(bench: Bench) -> Captioner:
    """A captioner of 512 units with fresh weights."""
    config = DecoderConfig(
        embedding_dim=512, hidden_dim=512, attention_dim=320, attention_heads=5, dropout=0.4
    )
    torch.manual_seed(0)
    decoder = make_decoder(
        config,
        vocab_size=len(bench.data.vocabulary),
        feature_dim=bench.encoder.feature_dim,
        grid_cells=bench.encoder.grid_cells,
    )
    return Captioner(bench.encoder, decoder, bench.data.vocabulary, "resnet50-imagenet").to(bench.device)


def plain_loop(bench: Bench, train: CaptionDataset) -> None:
    """Cross-entropy on batches that are prepared before: nothing but the decoder's own work."""
    decoder = new_captioner(bench).decoder
    assert isinstance(train.load_image, FeatureTable)
    batches = [batch.to(bench.device) for batch in CaptionLoader(train, batch_size=128, seed=0)][:20]
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3, fused=True)
    order = iter(range(10**9))

    def step() -> int:
        batch = batches[next(order) % len(batches)]
        low = bench.encoder.dtype == torch.bfloat16
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=low):
            hidden = decoder(batch.images, batch.captions, batch.lengths, batch.image_index)
            loss = F.cross_entropy(decoder.logits(hidden), packed_targets(batch.captions, batch.lengths))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return len(batch.captions)

    with bench.row("plain loop, 512 units, batches of 128 images") as figure:
        figure.append(f"{bench.rate(step, 2 if bench.small else 5):,.0f} captions/s")


def training(bench: Bench, table: FeatureTable, work: Path) -> Captioner:
    """`fit` as `main.py` calls it: cross-entropy, then self-critical training."""
    vocabulary = bench.data.vocabulary
    train = CaptionDataset(bench.data.train, vocabulary, table, 30)
    val = CaptionDataset(bench.data.val[:200], vocabulary, table)
    plain_loop(bench, train)
    captioner = new_captioner(bench)
    epochs = 1 if bench.small else max(4, 12_000 // len(train))
    config = TrainingConfig(epochs=epochs, batch_size=128, learning_rate=2e-3)
    policy = SelfCriticalConfig(epochs=1 if bench.small else 3, learning_rate=3e-4)
    rows: list[dict[str, float]] = []
    with bench.row("training with cross-entropy") as figure:
        fit(
            captioner,
            train,
            val,
            config,
            SearchConfig(),
            work / "run",
            self_critical=policy,
            on_epoch=rows.append,
            calibrate=False,
        )
        drawn = [row for row in rows if "reward" in row]
        figure.append(f"{median(rows, 'captions_per_second', 'train_loss'):,.0f} captions/s")
    with bench.row("self-critical training, 5 samples") as figure:
        figure.append(f"{median(rows, 'images_per_second', 'reward'):,.0f} images/s")
        figure.append(f"reward {drawn[0]['reward']:.3f} -> {drawn[-1]['reward']:.3f}")
        if not bench.small and drawn[-1]["reward"] <= drawn[0]["reward"]:
            figure.append("the reward does not rise")
    return captioner


def median(rows: list[dict[str, float]], rate: str, stage: str) -> float:
    """The median of a rate over the epochs of a stage; its first epoch warms up, where there are others."""
    rates = [row[rate] for row in rows if stage in row]
    return statistics.median(rates[1:] or rates)


def captioning(bench: Bench, captioner: Captioner) -> None:
    """Files to captions, as `inference.py FOLDER` makes them, and one photo in a warm process."""
    captioner.to(bench.device).eval()
    paths = [image.path for image in bench.data.train + bench.data.val]
    with bench.row(f"captioning {len(paths):,} photos, beam 3") as figure:
        rates = []
        for _ in range(2):
            start = time.perf_counter()
            count = sum(1 for _ in captioner.caption_stream(paths, open_source=lambda path: path))
            rates.append(count / (time.perf_counter() - start))
        figure.append(f"{rates[1]:,.0f} images/s, the first time {rates[0]:,.0f}")
    with bench.row("one photo, warm, from file to caption (median of 20)") as figure:
        seconds = []
        for path in paths[:25]:
            start = time.perf_counter()
            captioner.caption([path])
            seconds.append(time.perf_counter() - start)
        figure.append(f"{1000 * statistics.median(seconds[5:]):.1f} ms")


def cold(bench: Bench, model: Path) -> None:
    """`inference.py` on one photo, in fresh processes."""
    photo = str(bench.data.train[0].path)
    command = [sys.executable, "inference.py", "--model", str(model), photo]
    environment = {**os.environ, "SHOWTELL_DEVICE": str(bench.device)}
    with bench.row("one photo, cold: `inference.py PHOTO` (the first, the second)") as figure:
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=120)
            figure.append(f"{time.perf_counter() - start:.2f} s")


def tests(bench: Bench) -> None:
    """The tests of what computes; on a machine with a GPU they use it."""
    environment = {**os.environ, "SHOWTELL_DEVICE": str(bench.device)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark"]
    if bench.small:
        command += ["-x", "tests/features/test_table.py"]
    else:
        command += ["-n", str(min(12, os.cpu_count() or 1)), *TESTED]
    with bench.row("tests of what computes") as figure:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False
        )
        figure.append(done.stdout.strip().splitlines()[-1].strip("= "))
        if done.returncode:
            print(done.stdout[-6000:], done.stderr[-2000:], file=sys.stderr)


def prepared(folder: str, photos: int, work: Path) -> PreparedData:
    """A dataset, of at most so many photos, of which a quarter, at most 400, are for validation."""
    data = prepare_data(DataConfig(root=folder), work)
    val = data.val[: min(400, photos // 4)]
    kept = data.train[: max(1, photos - len(val))] + val
    return replace(data, images=kept)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--photos", type=int, default=6000, help="photos at most")
    parser.add_argument("--small", action="store_true", help="little of everything")
    parser.add_argument("--no-tests", action="store_true")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results")
    args = parser.parse_args()
    os.environ["SHOWTELL_DEVICE"] = args.device
    device = torch.device(args.device)
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        recorded("gpu", command_line(sys.argv[1:]), keep=args.keep),
    ):
        work = Path(folder)
        encoder = CNNEncoder.from_config(EncoderConfig(image_size=args.image_size)).to(device)
        data = prepared(args.folder, 120 if args.small else args.photos, work)
        bench = Bench(device, data, encoder, args.small)
        measure(bench, work, with_tests=not args.no_tests)
        print(f"{machine()}, {os.cpu_count()} cores; {len(data.train):,} training photos\n")
        print("| what | figure | GPU memory |\n|---|---|---|")
        print("\n".join(f"| {' | '.join(row)} |" for row in bench.rows))
        print(f"\n{time.perf_counter() - start:.0f} s in all")


def measure(bench: Bench, work: Path, *, with_tests: bool) -> None:
    """All rows of the table."""
    encoder_alone(bench)
    table = extraction(bench, work)
    captioner = training(bench, table, work)
    captioning(bench, captioner)
    cold(bench, captioner.save(work / "model").parent)
    if with_tests:
        tests(bench)


if __name__ == "__main__":
    main()
