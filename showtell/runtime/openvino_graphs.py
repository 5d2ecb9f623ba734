"""Graphs for OpenVINO: compiled when they are loaded, or imported as they were compiled at the export.

Compiling the graphs of an int8 model takes longer than captioning a photo. `showtell export` writes the
compiled models of OpenVINO too, without their weights (`encoder-KEY.blob`, less than 1 MB). KEY is a hash of
OpenVINO's version, the processor and the settings; if one of them differs, or the file is missing, the
graph is compiled.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import platform
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from showtell.runtime.manifest import COMPILED_SUFFIX, Manifest

_log = logging.getLogger(__name__)

_WITHOUT_WEIGHTS: Final = {"CACHE_MODE": "OPTIMIZE_SIZE"}

_core_lock = threading.Lock()


@dataclass(frozen=True)
class OpenVinoGraph:
    """A graph, and how OpenVINO computes it.

    Attributes:
        path: the graph (.xml or .onnx).
        bf16: compute in bf16 what is not in int8, if the processor multiplies it.
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

    def compiled_path(self, threads: int) -> Path:
        """The file for the compiled model, of this version of OpenVINO on this processor."""
        settings = self._settings(threads) | {"inputs": self.bf16_inputs, "outputs": self.bf16_outputs}
        identity = f"{_machine()}\n{sorted(settings.items())}"
        key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return self.path.with_name(f"{self.path.stem}-{key}{COMPILED_SUFFIX}")

    def compile(self, threads: int, **settings: str) -> Any:
        """Compile the graph: a `CompiledModel` of OpenVINO."""
        core = openvino_core()
        graph = core.read_model(self.path)
        if self.bf16 and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            graph = _in_bf16(graph, self.bf16_inputs, self.bf16_outputs)
        return core.compile_model(graph, "CPU", self._settings(threads) | settings)

    def export_compiled(self, threads: int) -> None:
        """Write the compiled model without its weights, beside the graph; nothing if OpenVINO cannot."""
        try:
            compiled = self.compile(threads, **_WITHOUT_WEIGHTS).export_model().getvalue()
        except RuntimeError as error:  # an older OpenVINO
            _log.debug("%s: OpenVINO does not export it without weights (%s)", self.path.name, error)
            return
        self.compiled_path(threads).write_bytes(compiled)

    def import_compiled(self, path: Path, threads: int) -> Any:
        """Import the file that `export_compiled` wrote; compile the graph if OpenVINO refuses it."""
        weights = {"WEIGHTS_PATH": str(self.path.with_suffix(".bin"))}
        settings = self._settings(threads) | _WITHOUT_WEIGHTS | weights
        try:
            return openvino_core().import_model(path.read_bytes(), "CPU", settings)
        except RuntimeError as error:
            _log.debug("%s: OpenVINO refuses it (%s); compiling %s", path, error, self.path.name)
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
    for index in inputs:
        processor.input(index).tensor().set_element_type(Type.bf16)
    for index in outputs:
        processor.output(index).tensor().set_element_type(Type.bf16)
    return processor.build() if inputs or outputs else graph


def openvino_core() -> Any:
    """OpenVINO's core, one for all graphs, for as long as the process lives.

    A core gives its thread another stack for signal handlers. When it goes after a later one, or in another
    thread, that thread is left with a stack that is freed, and the next signal (Ctrl-C) ends the process.
    """
    with _core_lock:
        return _make_core()


@functools.cache
def _make_core() -> Any:
    import openvino

    return openvino.Core()


@functools.cache
def _machine() -> str:
    """OpenVINO's version, and the name and instruction sets of the processor."""
    import openvino

    processor = openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    return "\n".join([openvino.__version__, processor, _instruction_sets()])


def _instruction_sets() -> str:
    """The instruction sets of the processor; if Linux does not list them, its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
