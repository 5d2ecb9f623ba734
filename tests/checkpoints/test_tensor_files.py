"""Files of tensors: what is read, and what is refused before it costs anything."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from showtell.checkpoints.tensor_files import (
    MAX_HEADER_BYTES,
    misfit,
    not_finite,
    read_pickled,
    read_safetensors,
)


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2])}
    save_file(tensors, tmp_path / "t.safetensors", {"key": "value"})
    torch.save(tensors, tmp_path / "t.pth")
    metadata, stored = read_safetensors(tmp_path / "t.safetensors")
    assert metadata == {"key": "value"}
    for read in (stored, read_pickled(tmp_path / "t.pth")):
        assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Error"),
        (struct.pack("<Q", MAX_HEADER_BYTES + 1) + b"{" * 100, "header claims more"),
        (struct.pack("<Q", 2**62) + b"{}", "header claims more"),
        (save({"a": torch.zeros(3)})[:-1], "."),
        (save({"a": torch.zeros(3, dtype=torch.complex64)}), "number format C64"),
        (
            struct.pack("<Q", 80)
            + json.dumps({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4]}}).encode().ljust(80)
            + b"1234",
            ".",
        ),
    ],
    ids=["empty", "long header", "endless header", "cut", "complex", "claims more than it has"],
)
def test_damaged_safetensors(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_safetensors(tmp_path / "t")


def test_pickles_of_code_are_refused_without_advice_to_load_them(tmp_path: Path) -> None:
    torch.save({"a": os.getcwd}, tmp_path / "t.pth")
    with pytest.raises(ValueError, match="more than tensors and plain values") as caught:
        read_pickled(tmp_path / "t.pth")
    assert "weights_only" not in str(caught.value)


def test_a_compressed_file_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10_000)}, tmp_path / "t.pth")
    with (
        zipfile.ZipFile(tmp_path / "t.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for info in plain.infolist():
            bomb.writestr(info.filename, plain.read(info))
    with pytest.raises(ValueError, match="compressed"):
        read_pickled(tmp_path / "bomb.pth")


def test_a_tensor_that_repeats_its_data_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": [{"a": torch.zeros(1).expand(10**9)}]}, tmp_path / "t.pth")
    with pytest.raises(ValueError, match="larger than its data"):
        read_pickled(tmp_path / "t.pth")


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
@pytest.mark.parametrize("read", [read_pickled, read_safetensors])
def test_a_pipe_is_not_waited_for(read: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular one"):
        read(tmp_path / "pipe")  # type: ignore[operator]


def test_values_that_are_not_finite_are_named() -> None:
    fine = {"a": torch.zeros(2), "n": torch.tensor(2**62)}
    assert not_finite(fine) is None
    for value in (torch.inf, -torch.inf, torch.nan):
        for kind in (torch.float32, torch.float16, torch.bfloat16):
            assert not_finite({**fine, "b": torch.tensor([0, value]).to(kind)}) == "b"


def test_what_does_not_fit_is_named() -> None:
    module = torch.nn.Linear(2, 3, device="meta").state_dict()
    assert misfit({"weight": torch.zeros(3, 2), "bias": torch.zeros(3)}, module) is None
    assert "missing, bias" in str(misfit({"weight": torch.zeros(3, 2)}, module))
    assert "(2, 3) instead of (3, 2)" in str(
        misfit({"weight": torch.zeros(2, 3), "bias": torch.zeros(3)}, module)
    )
    assert "more among" in str(misfit(dict.fromkeys(("weight", "bias", "more"), torch.zeros(3)), module))


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("norm.weight", 1.0, True),
        ("norm.weight", torch.inf, False),
        ("norm.running_mean", torch.inf, False),
        ("norm.running_var", torch.inf, True),  # overflowed fp16: the channel is constant
        ("norm.running_var", -torch.inf, False),
        ("norm.running_var", torch.nan, False),
    ],
)
def test_only_a_variance_may_be_infinite(name: str, value: float, accepted: bool) -> None:
    assert not_finite({"count": torch.tensor(3), name: torch.tensor([1.0, value])}) == (
        None if accepted else name
    )
