"""Weights beside an ONNX graph: found wherever they are, and compared with the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from showtell.errors import CheckpointError
from showtell.runtime.external_data import external_files
from showtell.runtime.manifest import Manifest


def outside(name: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, name, 0, 16)
    tensor.ClearField("raw_data")
    return tensor


def graph(*nodes: onnx.NodeProto, weights: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    return helper.make_graph(nodes, "g", [], [output], list(weights))


def write(path: Path, made: onnx.GraphProto) -> Path:
    path.write_bytes(helper.make_model(made).SerializeToString())
    return path


def test_none(exported: Path) -> None:
    assert all(external_files(path) == set() for path in exported.glob("*.onnx"))


def test_weights_of_the_graph_of_constants_and_of_inner_graphs(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=outside("const.bin"))
    inner = graph(helper.make_node("Constant", [], ["y"], value=outside("inner.bin")))
    branch = helper.make_node("If", ["b"], ["y"], then_branch=inner, else_branch=inner)
    made = graph(constant, branch, weights=(outside("a.bin"), outside("../b.bin")))
    assert external_files(write(tmp_path / "g.onnx", made)) == {"a.bin", "../b.bin", "const.bin", "inner.bin"}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 300), flips=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=3)
)
def test_damaged_graphs_end_in_an_error_or_names(
    cut: int, flips: list[tuple[int, int]], tmp_path: Path
) -> None:
    content = bytearray(write(tmp_path / "g.onnx", graph(weights=(outside("a.bin"),))).read_bytes())
    for place, value in flips:
        content[place % len(content)] = value
    (tmp_path / "g.onnx").write_bytes(content[: cut or None])
    with contextlib.suppress(ValueError):
        assert all(isinstance(name, str) for name in external_files(tmp_path / "g.onnx"))


@pytest.mark.parametrize("name", ["weights.bin", "../weights.bin", "/etc/hostname"])
def test_the_manifest_has_their_checksums(name: str, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    (folder / "weights.bin").write_bytes(bytes(16))
    write(folder / "step.onnx", graph(weights=(outside(name),)))
    values = json.loads((folder / "showtell.json").read_text())

    def list_files(*names: str) -> Manifest:
        values["files"] |= {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
        (folder / "showtell.json").write_text(json.dumps(values))
        return Manifest.load(folder)

    with pytest.raises(CheckpointError, match=r"has weights in .*, which is not a file of this model"):
        list_files("step.onnx").check(folder / "step.onnx")
    if name == "weights.bin":
        listed = list_files("step.onnx", "weights.bin")
        assert listed.check(folder / "step.onnx")
        (folder / "weights.bin").write_bytes(bytes(15) + b"x")
        with pytest.raises(CheckpointError, match=r"weights\.bin: damaged \(another checksum\)"):
            listed.check(folder / "step.onnx")
