"""Images a second of the encoder: PyTorch, ONNX Runtime and OpenVINO in fp32, bf16 and int8.

    python benchmarks/bench_encode.py [FOLDER] [--images 160] [--rounds 3] [--keep]

The baseline is what tutorials do: the ResNet50 of `transformers` in fp32, an image at a time. All take the
same photos, decoded in memory already, in batches of 16 of one shape, then one at a time. int8 is calibrated
on other photos of the folder. Each has a process of its own; they take turns. Errors are those of the
features against fp32: the root of the mean square, of that of the features. Prints Markdown.
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
from common import Contender, command_line, load, machine, median_ratio, recorded, split_photos

from showtell.config import EncoderConfig
from showtell.data.transforms import ImageTransform
from showtell.utils.shipped import DEFAULT_MODEL

Task = tuple[str, list[Path]]
Encode = Callable[[list[np.ndarray]], np.ndarray]

PRECISIONS = ("fp32", "bf16", "int8")
"""Of the exports that are measured."""


def measuring(encode: Encode, transform: ImageTransform) -> Callable[[Task], Any]:
    """Answers ("features" | "many" | "one", photos): features, seconds, or the median seconds of one."""
    known: dict[Path, np.ndarray] = {}

    def measure(task: Task) -> Any:
        what, paths = task
        pixels = [known[p] if p in known else known.setdefault(p, transform.pixels(p)) for p in paths]
        if what == "features":
            return encode(pixels)
        if what == "many":
            encode(pixels[:16])
            start = time.perf_counter()
            encode(pixels)
            return time.perf_counter() - start
        seconds = []
        for image in pixels:
            start = time.perf_counter()
            encode([image])
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    return measure


def plain() -> Callable[[Task], Any]:
    """The ResNet of `transformers`, as it is, an image at a time."""
    import torch
    from transformers import ResNetModel

    from showtell.data.preprocess import normalize
    from showtell.utils.shipped import MODELS

    network = ResNetModel.from_pretrained(MODELS / "resnet50-imagenet", dtype=torch.float32).eval()

    @torch.inference_mode()
    def encode(pixels: list[np.ndarray]) -> np.ndarray:
        grids = []
        for image in pixels:
            images = normalize(torch.from_numpy(image)[None]).contiguous()
            grid = network(images).last_hidden_state
            grid = torch.nn.functional.interpolate(grid, (7, 7), mode="bilinear")
            grids.append(grid.flatten(2).transpose(1, 2))
        return torch.cat(grids).numpy()

    return measuring(encode, ImageTransform())


def in_torch(precision: Any) -> Callable[[Task], Any]:
    """Ours, in PyTorch."""
    import torch

    from showtell.encoder.cnn import CNNEncoder
    from showtell.utils.devices import pick_device

    encoder = CNNEncoder.from_config(EncoderConfig(precision=precision)).to(pick_device())
    return measuring(
        torch.inference_mode()(lambda pixels: encoder.encode_pixels(pixels).float().cpu().numpy()),
        encoder.transform,
    )


def exported(folder: Path, runtime: Any) -> Callable[[Task], Any]:
    """That of an exported model."""
    from showtell.runtime.exported import ExportedEncoder

    encoder = ExportedEncoder.load(folder, runtime)
    return measuring(encoder.encode_pixels, encoder.transform)


def export(folder: Path, precision: str, photos: list[Path], model: str = DEFAULT_MODEL) -> Path:
    """Export a model in a process of its own."""
    command = ["showtell.cli", "export", "--model", model, "--precision", precision, "--out", str(folder)]
    code = "import sys; from showtell.cli import main; sys.exit(main(sys.argv[2:]))"
    asked = [sys.executable, "-c", code, *command]
    if precision == "int8":
        asked += ["--photos", *map(str, photos)]
    ran = subprocess.run(asked, check=False, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    return folder


def exports(
    work: Path, photos: list[Path], model: str = DEFAULT_MODEL, ready: Path | None = None
) -> dict[str, Path]:
    """Folder of a model's export in each precision: those in `ready`, else new ones in `work`."""
    if ready:
        return {precision: ready / precision for precision in PRECISIONS}
    return {precision: export(work / precision, precision, photos, model) for precision in PRECISIONS}


def make_contenders(work: Path, calibration: list[Path]) -> dict[str, Contender]:
    """All of them, the baseline first."""
    folders = exports(work, calibration)
    contenders = {"plain transformers, fp32": Contender(plain)}
    contenders |= {f"PyTorch, {p}": Contender(in_torch, p) for p in ("fp32", "bf16")}
    for precision, runtimes in (("fp32", 2), ("bf16", 1), ("int8", 2)):
        for name, runtime in (("OpenVINO", "openvino"), ("ONNX Runtime", "onnx"))[:runtimes]:
            contenders[f"{name}, {precision}"] = Contender(exported, folders[precision], runtime)
    return contenders


def report(contenders: dict[str, Contender], paths: list[Path], rounds: int) -> None:
    """Let them take turns and print the table."""
    features = {name: one(("features", paths[:64])) for name, one in contenders.items()}
    right = features["PyTorch, fp32"]
    error = {
        name: float(np.sqrt(np.mean((found - right) ** 2) / np.mean(right**2)))
        for name, found in features.items()
    }
    many: dict[str, list[float]] = {name: [] for name in contenders}
    one: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            many[name].append(contender(("many", paths)))
            one[name].append(contender(("one", paths[:20])))
    base, bf16 = many["plain transformers, fp32"], many["PyTorch, bf16"]
    print(f"{len(paths)} photos, {rounds} rounds, medians\n{machine()}\n{load()}\n")
    print("| encoder | images/s | x plain | x PyTorch bf16 | one photo, ms | error | peak memory, MiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, seconds in many.items():
        print(
            f"| {name} | {len(paths) / statistics.median(seconds):.1f} | {median_ratio(base, seconds):.2f}"
            f" | {median_ratio(bf16, seconds):.2f} | {1e3 * statistics.median(one[name]):.1f}"
            f" | {error[name]:.3f} | {contenders[name].peak():.0f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the encoder by runtime and precision.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of photos; by default some are made")
    parser.add_argument("--images", type=int, default=160, help="photos to encode at most")
    parser.add_argument("--rounds", type=int, default=3, help="turns; medians are told")
    parser.add_argument("--keep", action="store_true", help="keep the table in benchmarks/results")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as made,
        recorded("encode", command_line(sys.argv[1:]), keep=args.keep),
    ):
        calibration, paths = split_photos(args.folder, args.images, Path(made))
        contenders = make_contenders(Path(made), calibration)
        try:
            report(contenders, paths, args.rounds)
        finally:
            for contender in contenders.values():
                contender.close()


if __name__ == "__main__":
    main()
