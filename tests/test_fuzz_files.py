"""Files of strangers, changed in any way: each is read, or refused in one line, fast and in little memory.

`ENDS_IN` and `FITS_IN` hold for each input. The time is that of the processor, so that a busy machine makes
no test fail.
"""

from __future__ import annotations

import copy
import json
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import hypothesis
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.fingerprint import weights_fingerprint
from showtell.checkpoints.hub_metadata import (
    CONFIG,
    PREPROCESSOR,
    check_configs,
    model_config,
    preprocessor_config,
)
from showtell.checkpoints.model_file import read_model
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.run_options import add_run_arguments, to_run_config
from showtell.encoder.pretrained import load_backbone
from showtell.errors import CheckpointError, EncoderError, FeatureStoreError, ShowtellError, is_control
from showtell.runtime.exported import ExportedCaptioner
from showtell.runtime.manifest import GRAPHS, Manifest
from showtell.scale.feature_shards import ShardedFeatures, read_header
from showtell.scale.job import Job, read_job
from showtell.scale.tasks import CaptionTask, FeatureTask
from showtell.utils.runs import MODEL
from tests.conftest import make_tiny_backbone, save_backbone
from tests.scale.jobs import Recorder, begin, run

ENDS_IN = 2.0
"""Seconds of the processor."""
FITS_IN = 500 * 2**20
"""Bytes of memory, beside what the process had."""
FEW, MANY = 25, 300
"""Inputs of each kind, always the same ones: in the fast tests, and in the slow one."""
EXAMPLES = [FEW, pytest.param(MANY, marks=pytest.mark.slow)]

HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    3.5,
    64,
    50_000,
    10**9,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "evil-owner/tracker",
    "//host/share",
    "../../etc",
    "\x1b[31m\n\u202e\ud800",
    "x" * 5000,
    [],
    [0] * 300,
    ["a", "a"],
    {},
    {"a": [{}]},
    [10**9, 10**9, 10**9],
]
VALUES = st.sampled_from(HOSTILE) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a JSON value; of long lists the first items."""
    parts = (
        value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    )
    for key, part in parts:
        yield (*where, key)
        yield from places(part, (*where, key))


def changed(data: st.DataObject, value: Any) -> Any:
    """The value with up to three parts replaced, left out or added."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(value))
        if not found:
            break
        *way, key = data.draw(st.sampled_from(found))
        part = value
        for step in way:
            part = part[step]
        match data.draw(st.sampled_from(["replace", "replace", "leave out", "add"])):
            case "replace":
                part[key] = copy.deepcopy(data.draw(VALUES))
            case "leave out":
                del part[key]
            case _ if isinstance(part, dict):
                part[data.draw(st.text(max_size=5))] = copy.deepcopy(data.draw(VALUES))
    return value


def damaged(data: st.DataObject, content: bytes) -> bytes:
    """The bytes, cut, with some of them changed, or with others at the end."""
    result = bytearray(content)
    for place in data.draw(st.lists(st.integers(0, max(len(content) - 1, 0)), max_size=4)):
        if result:
            result[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.none() | st.integers(0, len(content)))
    return bytes(result[:cut]) + data.draw(st.binary(max_size=20))


def peak_memory(*, reset: bool = False) -> int:
    """The most memory that the process has had since the last reset, in bytes."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return 1024 * int(status.split()[0])


def ends_well(attempt: Callable[[], object]) -> None:
    """Try something: it works, or is refused in a line of printable text; it ends soon and takes little."""
    start, before = time.process_time(), peak_memory(reset=True)
    try:
        attempt()
    except ShowtellError as error:
        text = str(error)
        assert not any(map(is_control, text)), repr(text)
        assert 0 < len(text) < 2000
    assert time.process_time() - start < ENDS_IN
    assert peak_memory() - before < FITS_IN


def fuzz(examples: int, attempt: Callable[[st.DataObject], None]) -> None:
    """Call `attempt` with so many inputs."""
    settings = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    settings(given(data=st.data())(lambda data: attempt(data)))()


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="Linux measures the memory"
)

# Model files


@dataclass(frozen=True)
class ModelFile:
    """A safetensors file in its parts."""

    outer: dict[str, Any]
    header: dict[str, Any]
    tensors: bytes

    @classmethod
    def read(cls, path: Path) -> ModelFile:
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        outer = json.loads(content[8 : 8 + length])
        header = json.loads(outer.pop("__metadata__")["showtell"])
        return cls(outer, header, content[8 + length :])

    def to_bytes(self, outer: Any = None, header: Any = None, tensors: bytes | None = None) -> bytes:
        text = json.dumps(self.header if header is None else header)
        described = self.outer if outer is None else outer
        if isinstance(described, dict):
            described = {**described, "__metadata__": {"showtell": text}}
        raw = json.dumps(described).encode()
        return struct.pack("<Q", len(raw)) + raw + (self.tensors if tensors is None else tensors)


@pytest.fixture(scope="module")
def model_file(tiny_captioner: Captioner, tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    """A model with its encoder."""
    return ModelFile.read(tiny_captioner.save(tmp_path_factory.mktemp("model")))


def load_model(folder: Path) -> Captioner:
    return Captioner.load(str(folder), device=torch.device("cpu"))


@pytest.mark.parametrize("examples", EXAMPLES)
def test_models_of_anything(examples: int, model_file: ModelFile, tmp_path: Path) -> None:
    def attempt(data: st.DataObject) -> None:
        match data.draw(st.sampled_from(["header", "header", "tensors", "bytes"])):
            case "header":
                content = model_file.to_bytes(header=changed(data, model_file.header))
            case "tensors":
                content = model_file.to_bytes(outer=changed(data, model_file.outer))
            case _:
                content = damaged(data, model_file.to_bytes())
        (tmp_path / MODEL).write_bytes(content)
        ends_well(lambda: load_model(tmp_path))

    fuzz(examples, attempt)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("decoder", {"hidden_dim": 30_000}),
        ("decoder", {"attention_dim": 200_000, "attention_heads": 1}),
        ("encoder.architecture", {"depths": [10**9, 1, 1, 1]}),
        ("encoder.architecture", {"hidden_sizes": [16, 32, 64, 10**7]}),
        ("encoder.transform", {"size": 10**7}),
        ("encoder", {"grid_side": 10**5}),
        ("", {"vocabulary": json.dumps({"words": [f"w{n}" for n in range(400_000)]})}),
    ],
)
def test_a_small_file_that_claims_to_be_large_is_refused(
    section: str, values: dict[str, Any], model_file: ModelFile, tmp_path: Path
) -> None:
    header = copy.deepcopy(model_file.header)
    part = header
    for name in filter(None, section.split(".")):
        part = part[name]
    part |= values
    (tmp_path / MODEL).write_bytes(model_file.to_bytes(header=header))

    def refused() -> None:
        with pytest.raises(CheckpointError):
            load_model(tmp_path)

    ends_well(refused)


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_weights_that_are_not_finite_are_refused(
    value: float, tiny_captioner: Captioner, tmp_path: Path
) -> None:
    path = tiny_captioner.save(tmp_path)
    header, tensors = read_model(str(tmp_path))[1], load_file(path)
    tensors["decoder.word_bias"][0] = value
    header["checksum"] = weights_fingerprint(tensors)
    save_file(tensors, path, {"showtell": json.dumps(header)})
    with pytest.raises(CheckpointError, match=r"decoder\.word_bias has values that are infinite"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "name", ["evil-owner/tracker", "//host/share", "\\\\host\\share", "no\x1b[31m", 3, None]
)
def test_no_hub_and_no_other_machine_is_asked_for_an_encoder(
    name: object, tiny_captioner: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object, **__: object) -> None:
        pytest.fail("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", ask)
    path = tiny_captioner.save(tmp_path, with_encoder=False)
    model = ModelFile.read(path)
    path.write_bytes(
        model.to_bytes(header=model.header | {"encoder": model.header["encoder"] | {"name": name}})
    )
    with pytest.raises(CheckpointError, match="with --encoder") as caught:
        load_model(tmp_path)
    assert str(caught.value).isprintable()


# Exported folders


@pytest.mark.parametrize("examples", EXAMPLES)
def test_exported_folders_of_anything(examples: int, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    text = (folder / "showtell.json").read_bytes()
    graphs = {name: (folder / f"{name}.onnx").read_bytes() for name in ("start", "step")}

    def attempt(data: st.DataObject) -> None:
        for name, content in graphs.items():
            if data.draw(st.integers(0, 3)) == 0:
                (folder / f"{name}.onnx").write_bytes(damaged(data, content))
            else:
                (folder / f"{name}.onnx").write_bytes(content)
        values = changed(data, json.loads(text)) if data.draw(st.booleans()) else None
        described = damaged(data, text) if values is None else json.dumps(values).encode()
        (folder / "showtell.json").write_bytes(described)

        def load() -> None:
            manifest = Manifest.load(folder)
            for graph in GRAPHS:
                manifest.check(folder / f"{graph}.onnx")

        ends_well(load)

    fuzz(examples, attempt)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grid_cells", -1),
        ("grid_cells", 10**12),
        ("feature_dim", "128"),
        ("context", True),
        ("memory", 1.0),
        ("top", None),
        ("attends", 1),
        ("files", []),
        ("files", {"step.onnx": 3}),
        ("vocabulary", ["a", "a"]),
        ("vocabulary", ["\x1b]0;title\x07"]),
        ("transform", {"size": 0, "mean": [0, 0, 0], "std": [1, 1, 1]}),
        ("transform", {"size": 64, "mean": [0, 0, 0], "std": [1, 1, 0]}),
        ("calibration", {"caption": [1], "word": [1]}),
        ("calibration", []),
        ("odd", 1),
    ],
)
def test_each_wrong_value_of_a_manifest_is_named(
    name: str, value: object, exported: Path, tmp_path: Path
) -> None:
    values = json.loads((exported / "showtell.json").read_text())
    (tmp_path / "showtell.json").write_text(json.dumps(values | {name: value}))
    with pytest.raises(CheckpointError, match=r"showtell\.json: damaged \(.+\); export the model again"):
        Manifest.load(tmp_path)


def test_a_manifest_is_a_regular_file_of_bounded_size(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "showtell.json").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="not a regular file"):
        Manifest.load(tmp_path)
    (tmp_path / "showtell.json").unlink()
    with (tmp_path / "showtell.json").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(CheckpointError, match="larger than"):
        Manifest.load(tmp_path)


def test_graphs_of_other_tensors_than_the_manifest_tells_are_refused(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    values = json.loads((folder / "showtell.json").read_text())
    for name in ("context", "memory"):
        (folder / "showtell.json").write_text(json.dumps(values | {name: values[name] + 1}))
        with pytest.raises(CheckpointError, match="its graphs do not have the tensors"):
            ExportedCaptioner(folder, "onnx")


# Shards


@pytest.fixture
def caption_job(tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path) -> tuple[Job, CaptionTask]:
    task = Recorder(lambda: tiny_captioner)
    job = begin(tmp_path / "captions", task, *snippets[:4], size=2)
    run(job, task)
    return job, task


@pytest.fixture
def feature_job(tiny_captioner: Captioner, snippets: list[Path], tmp_path: Path) -> tuple[Job, FeatureTask]:
    task = FeatureTask(lambda: tiny_captioner.encoder, "int8")
    job = begin(tmp_path / "features", task, *snippets[:4], size=2)
    run(job, task)
    return job, task


@pytest.mark.parametrize("examples", EXAMPLES)
def test_shards_of_anything(
    examples: int, caption_job: tuple[Job, CaptionTask], feature_job: tuple[Job, FeatureTask]
) -> None:
    captions, features = caption_job[0], feature_job[0]
    lines = [json.loads(line) for line in captions.shard(1).read_text().splitlines()]
    whole = ModelFile.read(features.shard(1))
    units = (captions.folder / "units.jsonl").read_text().splitlines()
    settings = json.loads((captions.folder / "job.json").read_text())

    def attempt(data: st.DataObject) -> None:
        match data.draw(st.sampled_from(["captions", "features", "tensors", "bytes", "units", "job"])):
            case "captions":
                text = "".join(f"{json.dumps(record)}\n" for record in changed(data, lines))
                captions.shard(1).write_text(text)
                ends_well(lambda: caption_job[1].outcome(captions.shard(1)))
            case "features":
                features.shard(1).write_bytes(whole.to_bytes(header=changed(data, whole.header)))
                ends_well(lambda: list(ShardedFeatures(features.folder).items()))
            case "tensors":
                features.shard(1).write_bytes(whole.to_bytes(outer=changed(data, whole.outer)))
                ends_well(lambda: list(ShardedFeatures(features.folder).items()))
            case "bytes":
                features.shard(1).write_bytes(damaged(data, whole.to_bytes()))
                ends_well(lambda: read_header(features.shard(1)))
                captions.shard(1).write_bytes(damaged(data, json.dumps(lines[0]).encode() + b"\n"))
                ends_well(lambda: caption_job[1].outcome(captions.shard(1)))
            case "units":
                text = "".join(f"{json.dumps(changed(data, json.loads(line)))}\n" for line in units)
                (captions.folder / "units.jsonl").write_text(text)
                ends_well(lambda: read_job(captions.folder))
            case _:
                (captions.folder / "job.json").write_text(json.dumps(changed(data, settings)))
                ends_well(lambda: read_job(captions.folder))
                (captions.folder / "job.json").write_text(json.dumps(settings))

    fuzz(examples, attempt)


@pytest.mark.parametrize(
    "changes",
    [
        {"ids": ["a"]},
        {"ids": [1, 2]},
        {"failed": {"a": 3}},
        {"format": {"kind": "int8", "cells": 10**9, "dim": 10**9}},
        {"format": {"kind": "odd", "cells": 4, "dim": 128}},
        {"encoder": None},
    ],
)
def test_a_shard_of_another_header_is_refused(
    changes: dict[str, Any], feature_job: tuple[Job, FeatureTask]
) -> None:
    shard = feature_job[0].shard(1)
    whole = ModelFile.read(shard)
    shard.write_bytes(whole.to_bytes(header=whole.header | changes))
    with pytest.raises(FeatureStoreError, match=r"features-00001\.safetensors: damaged \("):
        read_header(shard)


def test_a_shard_of_other_images_is_refused(feature_job: tuple[Job, FeatureTask]) -> None:
    job = feature_job[0]
    whole = ModelFile.read(job.shard(1))
    job.shard(1).write_bytes(whole.to_bytes(header=whole.header | {"ids": ["other", "images"]}))
    with pytest.raises(FeatureStoreError, match="holds other images than its unit"):
        ShardedFeatures(job.folder)


# Configurations


@pytest.mark.parametrize("examples", EXAMPLES)
def test_configurations_of_anything(examples: int, model_file: ModelFile, tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "encoder", make_tiny_backbone())
    header = model_file.header
    hub = {CONFIG: model_config(header), PREPROCESSOR: preprocessor_config(header)}
    own = {name: json.loads((folder / name).read_text()) for name in (CONFIG, PREPROCESSOR)}
    run_settings = {"training": {"epochs": 3, "learning_rate": 1e-3}, "data": {"min_count": 2}, "out": "a"}
    parser = Parser()
    add_run_arguments(parser)

    def attempt(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([CONFIG, PREPROCESSOR]))
        match data.draw(st.sampled_from(["hub", "hub", "encoder", "encoder", "yaml"])):
            case "hub":
                for each, values in hub.items():
                    (tmp_path / each).write_text(
                        json.dumps(changed(data, values) if each == name else values)
                    )
                ends_well(lambda: check_configs(tmp_path, header))
            case "encoder":
                (folder / name).write_text(json.dumps(changed(data, own[name])))
                ends_well(lambda: load_backbone(str(folder)))
                (folder / name).write_text(json.dumps(own[name]))
            case _:
                (tmp_path / "run.yaml").write_text(json.dumps(changed(data, run_settings)))
                command_line = ["--config", str(tmp_path / "run.yaml")]
                ends_well(lambda: to_run_config(parser, parser.parse(command_line)))

    fuzz(examples, attempt)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depths": [10**9, 1, 1, 1]}, "no whole numbers of a usual size"),
        ({"depths": [200, 200, 1, 1]}, "more than 256 layers"),
        ({"depths": [1.0, 1, 1, 1]}, "no whole numbers"),
        ({"hidden_sizes": [16, 32, 64, 10**9]}, "no whole numbers of a usual size"),
        ({"hidden_sizes": [16, 32, 64, 16_000]}, "another size than its configuration says"),
        ({"embedding_size": "8"}, "no whole numbers"),
        ({"downsample_in_bottleneck": 3}, "neither true nor false"),
    ],
)
def test_an_encoder_that_claims_to_be_large_is_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    folder = save_backbone(tmp_path / "encoder", make_tiny_backbone())
    values = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(values | changes))

    def refused() -> None:
        with pytest.raises(EncoderError, match=reason):
            load_backbone(str(folder))

    ends_well(refused)


@pytest.mark.parametrize("file", [CONFIG, PREPROCESSOR])
def test_configurations_are_regular_files(file: str, model_file: ModelFile, tmp_path: Path) -> None:
    header = model_file.header
    (tmp_path / CONFIG).write_text(json.dumps(model_config(header)))
    (tmp_path / file).unlink(missing_ok=True)
    (tmp_path / file).symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match=rf"{file}: damaged \(not a regular file\)"):
        check_configs(tmp_path, header)
