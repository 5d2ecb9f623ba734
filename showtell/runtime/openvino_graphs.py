"""Graphs for OpenVINO, compiled where they run or at the export.

Compiling the graphs of an int8 model takes longer than captioning a photo. `showtell export` keeps them
compiled, without their weights (`encoder-KEY.blob`, less than 1 MB), for machines like the one that it ran
on: KEY stands for the version of OpenVINO and the processor. On other machines they are compiled again.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from showtell.runtime.manifest import COMPILED_SUFFIX, Manifest

_log = logging.getLogger(__name__)

_WITHOUT_WEIGHTS: Final = {"CACHE_MODE": "OPTIMIZE_SIZE"}


@dataclass(frozen=True)
class OpenVinoGraph:
    """A graph, and how OpenVINO computes it.

    Attributes:
        path: the graph (.xml or .onnx).
        bf16: compute in bf16 what is not in int8, where the machine multiplies it.
        bf16_inputs: it takes these in bf16 then, so that it does not convert at every call what does not
            change.
        bf16_outputs: these outputs are in bf16 then.
    """

    path: Path
    bf16: bool
    bf16_inputs: range = range(0)
    bf16_outputs: range = range(0)

    @classmethod
    def of(cls, path: Path, manifest: Manifest) -> OpenVinoGraph:
        """A graph of an exported model, by its file."""
        context = manifest.context
        return cls(
            path,
            bf16=manifest.precision != "fp32",
            bf16_inputs=range(1, 1 + context) if path.stem == "step" else range(0),
            bf16_outputs=range(context) if path.stem == "start" else range(0),
        )

    @property
    def compiled_name(self) -> str:
        """Name of the file that holds it compiled for this version of OpenVINO on this processor."""
        return f"{self.path.stem}-{_machine_key()}{COMPILED_SUFFIX}"

    def compile(self, threads: int, **settings: str) -> Any:
        """Compile it: a `CompiledModel` of OpenVINO."""
        core = openvino_core()
        graph = core.read_model(self.path)
        if self.bf16 and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            graph = _in_bf16(graph, self.bf16_inputs, self.bf16_outputs)
        return core.compile_model(graph, "CPU", self._settings(threads) | settings)

    def save_compiled(self, threads: int) -> Path:
        """Keep it compiled, beside its .xml and .bin, for machines like this one."""
        path = self.path.with_name(self.compiled_name)
        path.write_bytes(self.compile(threads, **_WITHOUT_WEIGHTS).export_model().getvalue())
        return path

    def load_compiled(self, compiled: Path, threads: int) -> Any:
        """What `save_compiled` has kept; where OpenVINO does not take it, the graph is compiled."""
        weights = {"WEIGHTS_PATH": str(self.path.with_suffix(".bin"))}
        settings = self._settings(threads) | _WITHOUT_WEIGHTS | weights
        try:
            return openvino_core().import_model(compiled.read_bytes(), "CPU", settings)
        except RuntimeError as error:
            _log.debug("%s: OpenVINO does not take it (%s); compiling %s", compiled, error, self.path.name)
            return self.compile(threads)

    def _settings(self, threads: int) -> dict[str, str | int]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self.bf16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
        }


def _in_bf16(graph: Any, inputs: range, outputs: range) -> Any:
    """A graph that takes and gives some tensors in bf16."""
    from openvino import Type
    from openvino.preprocess import PrePostProcessor

    processor = PrePostProcessor(graph)
    for place in inputs:
        processor.input(place).tensor().set_element_type(Type.bf16)
    for place in outputs:
        processor.output(place).tensor().set_element_type(Type.bf16)
    return processor.build() if inputs or outputs else graph


@functools.cache
def openvino_core() -> Any:
    """OpenVINO's core, one for all graphs, for as long as the process lives.

    A core gives its thread another stack for signal handlers. When it goes after a later one, or in another
    thread, that thread is left with a stack that is freed, and the next signal (Ctrl-C) ends the process.
    """
    import openvino

    return openvino.Core()


@functools.cache
def _machine_key() -> str:
    """Stands for all that decides how OpenVINO compiles a graph: its version, and what the processor can."""
    import openvino

    processor = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    identity = "\n".join([openvino.__version__, processor, _instruction_sets()])
    return hashlib.sha256(identity.encode()).hexdigest()[:12]


def _instruction_sets() -> str:
    """The instruction sets of the processor; where Linux does not list them, its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
