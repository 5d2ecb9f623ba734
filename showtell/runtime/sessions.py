"""Graphs that run: one interface over ONNX Runtime and OpenVINO."""

from __future__ import annotations

import itertools
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from showtell.errors import CheckpointError, UsageError
from showtell.runtime.manifest import Manifest
from showtell.runtime.openvino_graphs import OpenVinoGraph

GraphRuntime = Literal["onnx", "openvino"]
Array = npt.NDArray[Any]

_PACKAGES: Final[dict[GraphRuntime, str]] = {"openvino": "openvino", "onnx": "onnxruntime"}
"""The package of each runtime, the faster one first."""


Shape = tuple[int | None, ...]
"""The shape of a graph's input or output; None for sizes that the graph leaves open."""


class Session(ABC):
    """A graph that is ready to run.

    Attributes:
        inputs: shapes of its inputs.
        outputs: shapes of its outputs.
        lock: to be held from a call until its outputs are no longer read, if several threads use the session.
    """

    inputs: list[Shape]
    outputs: list[Shape]
    lock: AbstractContextManager[object]

    @abstractmethod
    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """The outputs, in the graph's order; the next call may overwrite them, of a step the one after it."""


class OnnxSession(Session):
    """By ONNX Runtime, on the CPU."""

    lock = nullcontext()  # calls may overlap, and each has outputs of its own

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        options.intra_op_num_threads = threads()
        # Threads of one graph that wait by spinning keep the next graph from its cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._names = [node.name for node in inputs]
        self.inputs, self.outputs = (
            [tuple(size if isinstance(size, int) else None for size in node.shape) for node in nodes]
            for nodes in (inputs, outputs)
        )

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """See `Session.run`."""
        outputs: list[Array] = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        return outputs


class OpenVinoSession(Session):
    """By OpenVINO, on the CPU.

    NumPy has no bf16: the bits of inputs and outputs in bf16 are in arrays of float16.

    Args:
        model: a `CompiledModel` of OpenVINO (see `OpenVinoGraph`).
        requests: outputs are overwritten after this many calls.
    """

    def __init__(self, model: Any, *, requests: int = 1) -> None:
        import openvino

        self.inputs, self.outputs = (
            [
                tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
                for port in ports
            ]
            for ports in (model.inputs, model.outputs)
        )
        self.lock = threading.Lock()
        self._requests = itertools.cycle([model.create_infer_request() for _ in range(requests)])
        self._bf16 = [port.get_element_type() == openvino.Type.bf16 for port in model.inputs]
        self._openvino = openvino

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """See `Session.run`."""
        request, make, bf16 = next(self._requests), self._openvino.Tensor, self._openvino.Type.bf16
        for index, (array, in_bf16) in enumerate(zip(inputs, self._bf16, strict=True)):
            array = np.ascontiguousarray(array)
            tensor = make(array, array.shape, bf16) if in_bf16 else make(array, shared_memory=True)
            request.set_input_tensor(index, tensor)
        request.start_async()
        request.wait()
        return [request.get_output_tensor(index).data for index in range(len(self.outputs))]


def threads() -> int:
    """Threads per graph: OMP_NUM_THREADS, else one for each core that the process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pick_runtime(asked: Literal["auto"] | GraphRuntime, manifest: Manifest) -> GraphRuntime:
    """The runtime to use: the fastest that is installed and computes in the model's precision.

    Raises:
        UsageError: it is not installed, or does not.
    """
    able = [name for name in _PACKAGES if not (name == "onnx" and manifest.precision == "bf16")]
    if asked != "auto":
        if asked not in able:
            raise UsageError(
                "ONNX Runtime does not compute in bf16 on CPUs: take --runtime openvino, or export the model"
                " with --precision fp32 or int8"
            )
        able = [asked]
    for name in able:
        if find_spec(_PACKAGES[name]) is not None:
            return name
    packages = " or ".join(_PACKAGES[name] for name in able)
    raise UsageError(
        f"this exported model needs {packages}: install it with pip install {_PACKAGES[able[0]]}"
    )


def open_session(folder: Path, graph: str, manifest: Manifest, runtime: GraphRuntime) -> Session:
    """Load a graph of an exported model.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    own = runtime == "openvino" and f"{graph}.xml" in manifest.files
    if own:
        manifest.check(folder / f"{graph}.bin")
    path = manifest.check(folder / f"{graph}{'.xml' if own else '.onnx'}")
    try:
        if runtime == "openvino":
            source = OpenVinoGraph.of(path, manifest)
            model = _compiled(source, manifest) if own else source.compile(threads())
            # The step graph has two requests: one reads the state that the other has written.
            return OpenVinoSession(model, requests=2 if graph == "step" else 1)
        return OnnxSession(path)
    except CheckpointError:
        raise
    except ImportError as error:
        raise UsageError(
            f"{_PACKAGES[runtime]} is installed but cannot be loaded ({error}); install it again, or take"
            " another --runtime"
        ) from error
    except Exception as error:  # the runtimes raise their own
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: {runtime} cannot run it ({reason}); upgrade {_PACKAGES[runtime]}, or take another"
            " --runtime"
        ) from error


def _compiled(graph: OpenVinoGraph, manifest: Manifest) -> Any:
    """The compiled model of a graph: imported if the export wrote one for this machine, else compiled.

    Raises:
        CheckpointError: the file of the compiled model is damaged.
    """
    count = threads()
    path = graph.compiled_path(count)
    if path.name not in manifest.files or not path.exists():
        return graph.compile(count)
    return graph.import_compiled(manifest.check(path), count)
