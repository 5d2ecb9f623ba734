"""Where the time of a search goes: PyTorch, OpenVINO and ONNX Runtime, for 1, 16 and 64 photos, by operator.

    python benchmarks/bench_search.py [FOLDER] [--rounds 15] [--exported EXPORTS] [--keep]

All search captions with three beams for the same features of photos, in turn. `steps` is the time within the
decoder's step, `limit` what products of as many rows with as many weights take alone, in bf16 (fp32 where the
machine has no faster one), which is measured in the same round: for one photo that is reading the weights.
Times are those of the fastest round, shares are medians of those within a round: other processes change times
more than shares. Then a step by operator, as the profilers of the runtimes report it (OpenVINO's with keys in
fp32). Prints Markdown, and first the class of the machine: AMX and AVX-512 differ.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_encode import exports
from bench_profile import weights_of
from common import command_line, cpu_class, load, machine, recorded, split_photos

from showtell.captioning.base import CaptioningModel
from showtell.captioning.captioner import Captioner
from showtell.commands.shared.options import open_model
from showtell.config import SearchConfig
from showtell.decoder.fused import PackedLinear
from showtell.runtime.exported import ExportedCaptioner
from showtell.utils.devices import compute_dtype
from showtell.utils.shipped import DEFAULT_MODEL

SIZES = (1, 16, 64)
IMAGE_PARTS = ("grid", "keys", "values", "image")
EXPORTED = {
    "OpenVINO, bf16": ("bf16", "openvino"),
    "OpenVINO, int8": ("int8", "openvino"),
    "ONNX Runtime, fp32": ("fp32", "onnx"),
}


class Timed:
    """Sums the seconds of the calls of a function, and counts the hypotheses."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.seconds, self.hypotheses = function, 0.0, 0

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        start = time.perf_counter()
        result = self.function(*arguments)
        self.seconds += time.perf_counter() - start
        tokens = arguments[0][0] if isinstance(arguments[0], list) else arguments[0]
        self.hypotheses += int(np.prod(tokens.shape))
        return result


def steps_of(model: CaptioningModel) -> Timed:
    """Time the steps of a model's searches from now on."""
    if isinstance(model, ExportedCaptioner):
        model._step.run = timed = Timed(model._step.run)  # type: ignore[method-assign]
        return timed
    assert isinstance(model, Captioner)
    decoder = model._search_decoder(bf16=compute_dtype("auto", torch.device("cpu")) == torch.bfloat16)
    decoder.step = timed = Timed(decoder.step)  # type: ignore[method-assign]
    return timed


class Products:
    """Products as large as those of a step: so many rows, and as many weights as the decoder reads.

    With few rows, the time of a product is that of reading its weights; with many, that of computing.
    """

    SIDE = 512

    def __init__(self, weights: int, dtype: torch.dtype) -> None:
        parts = max(1, round(weights / (4 * self.SIDE**2)))
        bias = torch.zeros(4 * self.SIDE, dtype=dtype)
        self.layers = [
            PackedLinear(torch.randn(4 * self.SIDE, self.SIDE).to(dtype), bias) for _ in range(parts)
        ]
        self.dtype, self.scale = dtype, weights / (parts * 4 * self.SIDE**2)

    @torch.inference_mode()
    def seconds(self, rows: int) -> float:
        """Seconds of the products of one step of `rows` hypotheses."""
        inputs, seconds = torch.randn(rows, self.SIDE).to(self.dtype), []
        for _ in range(5):
            start = time.perf_counter()
            for layer in self.layers:
                layer(inputs)
            seconds.append(time.perf_counter() - start)
        return self.scale * min(seconds)


def measure(models: dict[str, CaptioningModel], features: Any, rounds: int, per_row: int) -> None:
    """Let all take turns and print the table."""
    dtype = compute_dtype("auto", torch.device("cpu"))
    print("| | photos | ms a photo | in steps | around them | limit of the products | limit / measured |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    products = Products(per_row, dtype)
    timers = {name: steps_of(model) for name, model in models.items()}
    given = {
        name: features.to(dtype) if isinstance(model, Captioner) else features.numpy()
        for name, model in models.items()
    }
    for size in SIZES:
        rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
        for number in range(rounds + 1):
            unit = products.seconds(3 * size) / (3 * size)
            for name, model in models.items():
                timer = timers[name]
                timer.seconds, timer.hypotheses = 0.0, 0
                start = time.perf_counter()
                model.generate(given[name][:size], SearchConfig())
                if number:  # the first prepares buffers
                    whole = time.perf_counter() - start
                    rows[name].append((whole, timer.seconds, timer.hypotheses * unit))
        for name, values in rows.items():
            whole, steps, limit = min(values)
            share = statistics.median(value[2] / value[0] for value in values)
            each = [1e3 * value / size for value in (whole, steps, whole - steps, limit)]
            print(
                f"| {name} | {size} | " + " | ".join(f"{value:.3f}" for value in each) + f" | {share:.2f} |"
            )


def operators_of_torch(model: Captioner, features: torch.Tensor) -> Counter[str]:
    """Operator -> microseconds of a search."""
    from torch.profiler import profile

    with profile() as profiler:
        model.generate(features.to(compute_dtype("auto", torch.device("cpu"))), SearchConfig())
    return Counter({event.key: event.self_cpu_time_total for event in profiler.key_averages()})


def operators_of_openvino(folder: Path, inputs: list[Any], low: bool) -> Counter[str]:
    """Operator -> microseconds of a step."""
    import openvino

    own = folder / "step.xml"
    settings = {"INFERENCE_PRECISION_HINT": "bf16" if low else "f32", "PERF_COUNT": True}
    path = own if own.exists() else folder / "step.onnx"
    request = openvino.Core().compile_model(path, "CPU", settings).create_infer_request()
    best: dict[str, float] = {}
    for _ in range(10):
        request.infer(inputs)
        found: Counter[str] = Counter()
        for node in request.profiling_info:
            found[node.node_type] += 1e6 * node.real_time.total_seconds()
        best = {kind: min(best.get(kind, 1e9), value) for kind, value in found.items()}
    return Counter(best)


def operators_of_onnx(folder: Path, inputs: list[Any], work: Path) -> Counter[str]:
    """Operator -> microseconds of a step."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(work / "onnx")
    session = onnxruntime.InferenceSession(folder / "step.onnx", options, ["CPUExecutionProvider"])
    names, times = [node.name for node in session.get_inputs()], 10
    for _ in range(times):
        session.run(None, dict(zip(names, inputs, strict=True)))
    found: Counter[str] = Counter()
    for event in json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            found[event["args"]["op_name"]] += event["dur"] / times
    return found


def step_inputs(model: ExportedCaptioner, features: Any) -> list[Any]:
    """What a step of three beams takes, in fp32: of an export in fp32."""
    state_tensors = [array.copy() for array in model._start.run([features])]
    context, recurrent = state_tensors[: model.manifest.context], state_tensors[model.manifest.context :]
    tokens = np.random.default_rng(0).integers(4, len(model.vocabulary), (len(features), 3))
    return [tokens, *context, *(array.repeat(3, axis=1) for array in recurrent)]


def show(name: str, found: Counter[str], size: int, most: int = 8) -> None:
    """A row of the operators that take longest."""
    total = sum(found.values())
    parts = ", ".join(f"{kind} {100 * value / total:.0f} %" for kind, value in found.most_common(most))
    print(f"| {name} | {size} | {total / 1e3:.2f} | {parts} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Where the time of a search goes.")
    parser.add_argument("folder", nargs="?", type=Path, help="folder of photos; by default some are made")
    parser.add_argument("--rounds", type=int, default=15, help="rounds in which all take turns")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="folder of the model, or its name in models/")
    parser.add_argument(
        "--exported", type=Path, help="folder with exports fp32, bf16, int8; else they are made"
    )
    parser.add_argument("--keep", action="store_true", help="keep the tables in benchmarks/results")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as made,
        recorded("search", command_line(sys.argv[1:]), keep=args.keep),
    ):
        work = Path(made)
        calibration, paths = split_photos(args.folder, max(SIZES), work)
        folders = exports(work, calibration, args.model, args.exported)
        torchs = Captioner.load(args.model, device=torch.device("cpu"))
        models: dict[str, CaptioningModel] = {"PyTorch": torchs}
        for name, (kind, runtime) in EXPORTED.items():
            models[name] = open_model(str(folders[kind]), runtime)  # type: ignore[arg-type]
        features = torchs.encode_pixels([torchs.transform.pixels(path) for path in paths]).float()
        print(f"{machine()}\nclass: {cpu_class()}; {args.rounds} rounds\n")
        measure(models, features, args.rounds, weights_of(torchs.decoder, IMAGE_PARTS, but=True))
        print("\n| by operator | photos | ms | share |\n| --- | ---: | ---: | --- |")
        plain = ExportedCaptioner(folders["fp32"], "openvino")
        for size in SIZES:
            inputs = step_inputs(plain, features[:size].numpy())
            show("PyTorch, a search", operators_of_torch(torchs, features[:size]), size)
            for kind, folder in folders.items():
                found = operators_of_openvino(folder, inputs, kind != "fp32")
                show(f"OpenVINO, {kind}, a step", found, size)
            found = operators_of_onnx(folders["fp32"], inputs, work)
            show("ONNX Runtime, fp32, a step", found, size)
        print(f"\n{load()}")


if __name__ == "__main__":
    main()
