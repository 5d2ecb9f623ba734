"""The file of a model: written, located by name, read, and refused when it is damaged."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.model_file import (
    corrupt_file_as_checkpoint_error,
    exact_half,
    locate_model,
    read_model,
    write_model,
)
from showtell.errors import CheckpointError, UsageError
from tests.checkpoints.conftest import MAIN
from tests.commands.test_caption import save_model


def test_a_folder_goes_before_the_hub(cache: Path, tiny_model: Path) -> None:
    assert locate_model("anna/tiny").parent.name == MAIN
    with pytest.raises(UsageError, match=r"revision v1: .* is no hub id"):
        Captioner.from_pretrained(tiny_model, revision="v1")
    Path("anna").mkdir()  # now anna/tiny is a run that is missing
    with pytest.raises(CheckpointError, match=r"anna/tiny: no such model"):
        locate_model("anna/tiny")
    save_model(Path("anna/tiny"))
    assert locate_model("anna/tiny") == Path("anna/tiny/model.safetensors")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("everday", "everyday"), ("mine", "runs/mine"), ("runs/mien", "runs/mine"), ("ana/tiny", "anna/tiny")],
)
def test_a_near_miss_is_suggested(name: str, nearest: str, cache: Path) -> None:
    save_model(Path("runs/mine"))
    with pytest.raises(CheckpointError, match=f"; did you mean {nearest}\\?$"):
        locate_model(name)


def test_last_is_the_newest_run(cache: Path) -> None:
    with pytest.raises(CheckpointError, match="last: no run with a model"):
        locate_model("last")
    for when, run in enumerate(("runs/b", "runs/a")):
        os.utime(save_model(Path(run)) / "model.safetensors", (when, when))
    assert locate_model("last") == Path("runs/a/model.safetensors")


HEADER = {"decoder": {}, "encoder": {}, "vocabulary": ["dog"], "vocabulary_fingerprint": "f"}
TENSORS = {"a": torch.arange(6.0).view(2, 3).t(), "n": torch.tensor([2**40])}


def test_header_and_tensors_are_read_back(tmp_path: Path) -> None:
    path = write_model(tmp_path / "new" / "run", HEADER, TENSORS)
    assert path == tmp_path / "new" / "run" / "model.safetensors"
    for name in (path, path.parent):
        read, header, tensors = read_model(str(name))
        assert read == path
        assert {key: header[key] for key in HEADER} == HEADER
        assert tensors.keys() == TENSORS.keys()
        for key, tensor in TENSORS.items():
            assert tensors[key].dtype == tensor.dtype
            torch.testing.assert_close(tensors[key], tensor, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "not a model of showtell"),
        ({"showtell": "[]"}, "not a model of showtell"),
        ({"showtell": "{"}, "damaged, or not a model"),
        ({"showtell": "[" * 200_000}, "damaged, or not a model"),
        ({"showtell": json.dumps({"version": 2})}, "of version 2, this showtell reads version 1"),
        ({"showtell": json.dumps({"version": 1})}, "the checksum is not that of its weights"),
        ({"showtell": json.dumps({"version": 1, "checksum": "0", **HEADER})}, "the checksum is not that"),
    ],
    ids=["none", "list", "broken", "deep", "version", "keys", "checksum"],
)
def test_a_file_of_another_kind_is_refused(metadata: dict[str, str], reason: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(2)}, path, metadata)
    with pytest.raises(CheckpointError, match=reason) as raised:
        read_model(str(path))
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, HEADER, {"a": torch.tensor([1.0, math.nan])})
    with pytest.raises(CheckpointError, match="a has values that are infinite or not numbers"):
        read_model(str(tmp_path))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.5, -2.0, 65504.0], torch.float16),
        ([0.1], torch.float32),
        ([65536.0], torch.float32),
        ([math.nan], torch.float32),
    ],
)
def test_values_that_fp16_holds_exactly_are_stored_in_it(values: list[float], dtype: torch.dtype) -> None:
    tensor = torch.tensor(values)
    stored = exact_half(tensor)
    assert stored.dtype == dtype
    torch.testing.assert_close(stored.float(), tensor, rtol=0, atol=0, equal_nan=True)


def test_other_numbers_are_stored_as_they_are() -> None:
    for dtype in (torch.bfloat16, torch.int64, torch.float64):
        assert exact_half(torch.ones(2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("error", [KeyError("size"), TypeError("x" * 999), ZeroDivisionError("by zero")])
def test_an_error_of_a_header_is_that_of_a_damaged_file(error: Exception) -> None:
    with (
        pytest.raises(CheckpointError, match=rf"^m: damaged, .*{type(error).__name__}: ") as raised,
        corrupt_file_as_checkpoint_error(Path("m")),
    ):
        raise error
    assert raised.value.__cause__ is error
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("error", [UsageError("one of showtell's"), MemoryError(), KeyboardInterrupt()])
def test_other_errors_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, corrupt_file_as_checkpoint_error(Path("m")):
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    ("name", "reason"), [("empty", r"no model\.safetensors in this folder"), ("none", "no such")]
)
def test_a_folder_without_a_model_is_named(
    name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=f"^{name}: {reason}"):
        locate_model(name)
