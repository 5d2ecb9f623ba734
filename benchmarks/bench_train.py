"""How many captions a second each decoder trains: forward, loss, backward and AdamW step on random features.

    python benchmarks/bench_train.py [--keep]

The baselines are the classic `attention` decoder (Show, Attend and Tell) and the first version of `topdown`
(torch's own LSTM, 512 units). All have 512 units but the last, which has the 384 that are the default. They
take turns within a run, so what else the machine does falls on all alike; medians are compared.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from common import command_line, load, machine, median_ratio, recorded
from first_topdown import FirstTopDown
from torch import Tensor

from showtell.config import DecoderConfig, DecoderKind
from showtell.decoder import RNNDecoder, make_decoder, packed_targets
from showtell.training.losses import linear_cross_entropy
from showtell.utils.devices import compute_dtype, pick_device

ATTENTION, FIRST = "attention, 512 units", "first topdown, 512 units"
DECODERS: dict[str, tuple[DecoderKind, int]] = {
    ATTENTION: ("attention", 512),
    FIRST: ("topdown", 512),
    "pooled, 512 units": ("pooled", 512),
    "topdown, 512 units": ("topdown", 512),
    "topdown, 384 units": ("topdown", 384),
}
GRID_CELLS, FEATURE_DIM = 49, 2048
MEAN_WORDS, SD_WORDS, FEWEST_WORDS, MOST_WORDS = 10.8, 3.8, 2, 30  # as Flickr8k's captions


class Batch(NamedTuple):
    """The arguments of a decoder, and the words to predict."""

    features: Tensor
    captions: Tensor
    lengths: Tensor
    image_index: Tensor
    targets: Tensor


def make_batch(args: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Batch:
    """Random features, and captions as long as Flickr8k's."""
    count = args.images * args.captions
    words = torch.normal(MEAN_WORDS, SD_WORDS, (count,)).round().clamp(FEWEST_WORDS, MOST_WORDS).long()
    lengths, order = (words + 2).sort(descending=True)  # with start and end
    image_index = torch.arange(args.images).repeat_interleave(args.captions)[order].to(device)
    captions = torch.randint(4, args.vocabulary, (count, int(lengths[0]))).to(device)
    features = torch.randn(args.images, GRID_CELLS, FEATURE_DIM).clamp(min=0).to(device, dtype)
    return Batch(features, captions, lengths, image_index, packed_targets(captions, lengths))


def make_step(
    name: str, args: argparse.Namespace, device: torch.device, dtype: torch.dtype
) -> Callable[[Batch], None]:
    """A training step of a fresh decoder."""
    kind, size = DECODERS[name]
    config = DecoderConfig(kind=kind, cell=args.cell, embedding_dim=size, hidden_dim=size, attention_dim=size)
    if name == FIRST:
        decoder: RNNDecoder = FirstTopDown(args.vocabulary, FEATURE_DIM, GRID_CELLS, config)
    else:
        decoder = make_decoder(
            config, vocab_size=args.vocabulary, feature_dim=FEATURE_DIM, grid_cells=GRID_CELLS
        )
    decoder.to(device)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3, fused=True)

    def step(batch: Batch) -> None:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            hidden = decoder(*batch[:-1])
            loss = linear_cross_entropy(
                hidden, decoder.embedding.weight, decoder.word_bias, batch.targets, label_smoothing=0.1
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def measure(args: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> dict[str, list[float]]:
    """Seconds of each step of each kind; the kinds take turns on the same batch. The first round warms up."""
    torch.manual_seed(args.seed)
    steps = {kind: make_step(kind, args, device, dtype) for kind in DECODERS}
    seconds: dict[str, list[float]] = {kind: [] for kind in DECODERS}
    for round_number in range(args.rounds + 1):
        batch = make_batch(args, device, dtype)
        for kind, step in steps.items():
            begin = time.perf_counter()
            step(batch)
            if round_number:
                seconds[kind].append(time.perf_counter() - begin)
    return seconds


def report(args: argparse.Namespace, seconds: dict[str, list[float]]) -> str:
    """A markdown table; the ratio is the median of the ratios within a round."""
    count = args.images * args.captions
    rows = [
        "| decoder | captions/s (median) | slowest | fastest | x attention | x first topdown |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, times in seconds.items():
        rates = [count / taken for taken in times]
        ratios = (median_ratio(seconds[base], times) for base in (ATTENTION, FIRST))
        columns = [*(f"{rate:.0f}" for rate in (statistics.median(rates), min(rates), max(rates)))]
        rows.append(f"| {name} | {' | '.join([*columns, *(f'{ratio:.2f}' for ratio in ratios)])} |")
    return "\n".join(rows)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", choices=["lstm", "gru"], default="lstm", help="recurrent cell (lstm)")
    parser.add_argument("--images", type=int, default=64, help="images a batch (64)")
    parser.add_argument("--captions", type=int, default=5, help="captions an image (5)")
    parser.add_argument("--vocabulary", type=int, default=2541, help="words (2541, as Flickr8k)")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each decoder (5)")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results")
    parser.add_argument("--precision", choices=["auto", "bf16", "fp32"], default="auto", help="(auto)")
    parser.add_argument("--threads", type=int, help="CPU threads (all)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (0)")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = pick_device()
    dtype = compute_dtype(args.precision, device)
    with recorded("train", command_line(sys.argv[1:]), keep=args.keep):
        print(f"{machine()}, {str(dtype).removeprefix('torch.')}\n")
        print(
            f"{args.images} images x {args.captions} captions of {MEAN_WORDS} words (sd {SD_WORDS},"
            f" {FEWEST_WORDS} to {MOST_WORDS}), {args.vocabulary} words,"
            f" {GRID_CELLS} x {FEATURE_DIM} features, {args.cell}; {args.rounds} rounds, seed {args.seed}\n"
        )
        print(report(args, measure(args, device, dtype)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
        print(f"\npeak memory of the process with all of them: {peak:.0f} MiB\n{load()}")


if __name__ == "__main__":
    main()
