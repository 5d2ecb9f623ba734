"""Helpers of the tests of the feature cache: rows as they must be, and damage to them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from showtell.encoder.cnn import CNNEncoder
from showtell.features.encoding import ImageView
from showtell.features.store import FeatureStore

EXPECTED: dict[tuple[str, bytes, str], npt.NDArray[np.float16]] = {}
"""Rows as they must be, by encoder, content of the file and view: each is computed once for all tests."""


def full(paths: Iterable[Path]) -> list[ImageView]:
    return [(path, "full") for path in paths]


def direct(encoder: CNNEncoder, item: ImageView) -> npt.NDArray[np.float16]:
    """A row as it must be: the encoder's output for this image alone."""
    return encoder.encode_pixels([encoder.transform.pixels(*item)])[0].half().numpy()


def assert_rows_right(store: FeatureStore, items: Sequence[ImageView]) -> None:
    """Each has a row, which is its own: close to direct encoding (batches round differently)."""
    for item in items:
        key = (store.folder.name, item[0].read_bytes(), item[1])
        if key not in EXPECTED:
            EXPECTED[key] = direct(store.encoder, item)
        expected = EXPECTED[key]
        row = store[store.row(*item)]
        assert row.dtype == np.float16
        np.testing.assert_allclose(row, expected, rtol=0.01, atol=0.002 * np.abs(expected).max())


def assert_all_counted_right(store: FeatureStore, items: Sequence[ImageView]) -> list[ImageView]:
    """Every row that counts is right; those that do not are missing. Returns the missing ones."""
    missing = store.missing(items)
    assert len(store) == len(items) - len(missing)
    assert_rows_right(store, [item for item in items if item not in missing])
    return missing


def copy_photos(paths: Iterable[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    return [Path(shutil.copy2(path, folder)) for path in paths]


def interrupt_after(encoder: CNNEncoder, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the encoder raise KeyboardInterrupt, as Ctrl-C does, after some batches."""
    encode, left = encoder.encode_pixels, iter(range(batches))

    def encode_some(pixels: list[npt.NDArray[np.uint8]]) -> torch.Tensor:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return encode(pixels)

    monkeypatch.setattr(encoder, "encode_pixels", encode_some)


def damage(store: FeatureStore, place: int, kind: str) -> None:
    """Change a row on the disk."""
    path, size = store.folder / "rows.bin", store.row_bytes
    content = bytearray(path.read_bytes())
    row = content[place * size : (place + 1) * size]
    if kind == "zeros":
        row[:] = bytes(size)
    elif kind == "not a number":
        row[1] = 0x7F
    else:
        row[size // 2] ^= 1
    content[place * size : (place + 1) * size] = row
    path.write_bytes(content)


def overflow_third_image(encoder: CNNEncoder, patch: pytest.MonkeyPatch) -> None:
    """Make the encoder give a feature of the third image that fp16 cannot hold."""
    encode = encoder.encode_pixels

    def overflow(pixels: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        features = encode(pixels).clone()
        features[2, 0, 0] = 70_000
        return features

    patch.setattr(encoder, "encode_pixels", overflow)
