"""Where the time goes: from JPEG to caption, in a training step, from command to first caption; with limits.

    python benchmarks/bench_profile.py [FOLDER] [--images 128] [--keep]

A stage's limit is what its matrix products would take at the machine's measured rate (the best of several
products of 2048 x 2048 matrices in the same number format), or what the library under it takes alone. All in
PyTorch, in the number format that is the default here. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import command_line, load, machine, recorded, take_photos
from PIL import Image
from torch import nn

from showtell.captioning.base import special_tokens
from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.data.transforms import to_pixels, view_image
from showtell.decoder import RNNDecoder, StepOutput, as_search_step, packed_targets
from showtell.search import search
from showtell.training.losses import linear_cross_entropy
from showtell.utils.devices import compute_dtype
from showtell.utils.shipped import DEFAULT_MODEL

WORDS, CAPTIONS, BATCH = 10.8, 5, 64


def best(function: Callable[[], Any], times: int = 5) -> float:
    """Seconds of the fastest of several calls; the first is left out."""
    function()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def matrix_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """Multiply-adds a second of large products."""
    one, other = (torch.randn(size, size).to(dtype) for _ in range(2))
    return float(size**3 / best(lambda: one @ other, 10))


def convolution_products(network: nn.Module, side: int) -> int:
    """Multiply-adds of an image."""
    total = 0

    def count(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += output.shape[2] * output.shape[3] * layer.weight.numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        network(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return total


def weights_of(decoder: nn.Module, names: tuple[str, ...], *, but: bool = False) -> int:
    """Weights in the matrices of some of a decoder's parts, or of all but these."""
    return sum(
        p.numel()
        for name, p in decoder.named_parameters()
        if p.dim() == 2 and (name.split(".")[0] in names) != but
    )


Rows = list[tuple[str, float, float]]


class Timed:
    """Sums the seconds of a function's calls."""

    def __init__(self, function: Callable[..., StepOutput]) -> None:
        self.function, self.seconds, self.hypotheses = function, 0.0, 0

    def __call__(self, tokens: torch.Tensor, state: Any) -> StepOutput:
        """Call it."""
        start = time.perf_counter()
        found = self.function(tokens, state)
        self.seconds += time.perf_counter() - start
        self.hypotheses += tokens.numel()
        return found


def from_jpeg_to_caption(
    captioner: Captioner, paths: list[Path], rate: float
) -> list[tuple[str, float, float]]:
    """(stage, ms a photo, limit in ms) with one thread for decoding and all for the model."""
    encoder, decoder = (
        captioner.encoder,
        captioner._search_decoder(bf16=captioner.encoder.dtype == torch.bfloat16),
    )
    transform, count = encoder.transform, len(paths)
    stored = [path.read_bytes() for path in paths]
    decoded = [transform.decode(content) for content in stored]

    def only_decode() -> None:
        for path in paths:
            with Image.open(path) as image:
                image.load()

    decode = best(lambda: [transform.decode(content) for content in stored], 3)
    resize = best(lambda: [to_pixels(view_image(image, "full", transform.size)) for image in decoded], 3)
    pixels = [transform.pixels(path) for path in paths]
    plain_resize = best(
        lambda: [image.resize((transform.size,) * 2, Image.Resampling.BILINEAR) for image in decoded], 3
    )
    encode = best(lambda: captioner.encode_pixels(pixels), 3)
    products = convolution_products(encoder.backbone.folded(), transform.size)
    features = captioner.encode_pixels(pixels)
    batches = features.split(BATCH)
    image_parts = ("grid", "keys", "values", "image")
    with torch.inference_mode():
        start = best(lambda: [decoder.init_state(batch) for batch in batches])
        specials = special_tokens(captioner.vocabulary)
        whole, steps, hypotheses = [], [], 0
        for _ in range(4):
            timed = Timed(decoder.step)
            begin = time.perf_counter()
            for batch in batches:
                search(
                    as_search_step(timed, specials.eos), decoder.init_state(batch), specials, SearchConfig()
                )
            whole.append(time.perf_counter() - begin)
            steps.append(timed.seconds)
            hypotheses = timed.hypotheses
    step_products = weights_of(decoder, image_parts, but=True) * hypotheses
    start_products = weights_of(decoder, image_parts) * encoder.grid_cells * count
    each = 1e3 / count
    return [
        ("decode the JPEG (1 thread; limit: Pillow alone)", decode * each, best(only_decode, 3) * each),
        ("resize (1 thread; limit: one bilinear pass)", resize * each, plain_resize * each),
        ("encoder", encode * each, products / rate * 1e3),
        ("decoder, start", start * each, start_products / rate * each),
        ("decoder, steps", min(steps) * each, step_products / rate * each),
        ("search around them (1 thread)", (min(whole) - min(steps) - start) * each, 0.0),
    ]


def training_step(captioner: Captioner, rate: float) -> Rows:
    """(stage, ms a batch, limit in ms) of 64 images with 5 captions."""
    decoder = captioner.decoder
    assert isinstance(decoder, RNNDecoder)
    decoder.train()
    random = torch.Generator().manual_seed(0)
    count = BATCH * CAPTIONS
    lengths = torch.normal(WORDS, 3.8, (count,), generator=random).round().clamp(2, 30).long() + 2
    lengths = lengths.sort(descending=True).values
    words = torch.randint(4, len(captioner.vocabulary), (count, int(lengths[0])), generator=random)
    index = torch.arange(BATCH).repeat_interleave(CAPTIONS)
    features = torch.rand(BATCH, decoder.grid_cells, decoder.feature_dim, generator=random)
    features = features.to(compute_dtype("auto", torch.device("cpu")))
    targets = packed_targets(words, lengths)
    optimizer = torch.optim.AdamW(decoder.parameters(), fused=True)
    times: dict[str, list[float]] = {}

    def lap(name: str, since: float) -> float:
        now = time.perf_counter()
        times.setdefault(name, []).append(now - since)
        return now

    for _ in range(8):
        optimizer.zero_grad()
        now = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=features.dtype == torch.bfloat16):
            hidden = decoder(features, words, lengths, index)
            now = lap("forward", now)
            loss = linear_cross_entropy(hidden, decoder.embedding.weight, decoder.word_bias, targets, 0.1)
        now = lap("loss and its gradient", now)
        loss.backward()  # type: ignore[no-untyped-call]
        now = lap("backward", now)
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        lap("clipping and AdamW", now)
    decoder.eval()
    image_parts, rows = ("grid", "keys", "values", "image"), len(targets)
    of_words = decoder.embedding.weight.numel() * rows
    of_steps = weights_of(decoder, (*image_parts, "embedding"), but=True) * rows
    of_images = weights_of(decoder, image_parts) * decoder.grid_cells * BATCH
    grid = weights_of(decoder, ("grid",)) * decoder.grid_cells * BATCH  # no gradient of the features
    limits = {
        "forward": of_steps + of_images,
        "loss and its gradient": 3 * of_words,
        "backward": 2 * (of_steps + of_images) - grid,
        "clipping and AdamW": 0,
    }
    return [
        (name, 1e3 * statistics.median(seconds[2:]), 1e3 * limits[name] / rate)
        for name, seconds in times.items()
    ]


def command_to_caption(photo: Path) -> list[tuple[str, float]]:
    """(stage, ms) of `inference.py` with PyTorch, in a fresh process."""
    code = """
import time; start = time.perf_counter(); laps = []
def lap(name):
    global start
    now = time.perf_counter(); laps.append((name, 1e3 * (now - start))); start = now
import numpy, PIL.Image; lap("import NumPy, Pillow")
import showtell.commands.caption; lap("import showtell.commands.caption")
import torch; lap("import torch")
from showtell.captioning.captioner import Captioner; lap("import showtell.captioning.captioner")
captioner = Captioner.load("__MODEL__"); lap("read the weights, check them")
pixels = captioner.transform.pixels(__PHOTO__); lap("decode the photo")
captioner.encode_pixels([pixels]); lap("fold batch-norm, first photo through the encoder")
features = captioner.encode_pixels([pixels]); lap("encoder, warm")
captioner.caption_features(features); lap("first caption")
captioner.caption_features(features); lap("caption, warm")
import json; print(json.dumps(laps))
""".replace("__PHOTO__", repr(str(photo))).replace("__MODEL__", DEFAULT_MODEL)
    root = Path(__file__).resolve().parents[1]
    runs = [
        dict(
            eval(
                subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True).stdout
            )
        )
        for _ in range(4)
    ]
    return [(name, statistics.median(run[name] for run in runs[1:])) for name in runs[0]]


def show(title: str, unit: str, rows: Rows) -> None:
    """A table of stages with their limits."""
    print(f"\n{title}\n\n| stage | {unit} | limit | limit / measured |\n| --- | ---: | ---: | ---: |")
    for name, measured, limit in rows:
        near = f"{limit:.2f} | {limit / measured:.2f}" if limit else "- | -"
        print(f"| {name} | {measured:.2f} | {near} |")
    print(f"| sum | {sum(row[1] for row in rows):.2f} | {sum(row[2] for row in rows):.2f} | |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Where the time goes, and how near to its limits it is.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of photos; by default some are made")
    parser.add_argument("--images", type=int, default=128, help="photos to use at most")
    parser.add_argument("--keep", action="store_true", help="keep the tables in benchmarks/results")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as made,
        recorded("profile", command_line(sys.argv[1:]), keep=args.keep),
    ):
        paths = take_photos(args.folder, args.images, Path(made))
        captioner = Captioner.load(DEFAULT_MODEL, device=torch.device("cpu"))
        rate = matrix_rate(captioner.encoder.dtype)
        format_ = str(captioner.encoder.dtype).removeprefix("torch.")
        print(f"{machine()}\nmatrix rate: {2 * rate / 1e9:.0f} GFLOP/s in {format_}")
        with torch.inference_mode():
            one = torch.from_numpy(np.stack([captioner.transform.pixels(paths[0])]))
        print(f"{len(paths)} photos (the first comes out as {one.shape[2]} x {one.shape[1]})")
        show("From JPEG to caption", "ms a photo", from_jpeg_to_caption(captioner, paths, rate))
        show("A training step of 64 images x 5 captions", "ms", training_step(captioner, rate))
        print("\nFrom command to first caption\n\n| stage | ms |\n| --- | ---: |")
        for name, measured in command_to_caption(paths[0].resolve()):
            print(f"| {name} | {measured:.0f} |")
        print(f"\n{load()}")


if __name__ == "__main__":
    main()
