"""A sharded feature store: safetensors files of some hundred images each, memory-mapped.

A shard holds the fields of `RowFormat`'s rows as tensors (N, ...), so that any framework can read it:
`features`, or `lowest`, `step` and `levels` in 8 bits. Its header has the ids of the rows, the images that
failed, and what the features were made by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from showtell.config import FeatureType
from showtell.errors import FeatureStoreError, UsageError
from showtell.features.row_format import Record, RowFormat
from showtell.scale.checksums import Checksum, write_shard_file
from showtell.scale.job import read_job
from showtell.utils.storage import is_remote, read_bytes


def write_shard(
    path: Path,
    rows: Record,
    ids: Sequence[str],
    failed: Mapping[str, str],
    row_format: RowFormat,
    encoder: str,
) -> Checksum:
    """Write a shard, whole or not at all.

    Args:
        path: the file.
        rows: (N,), as `row_format` packs them.
        ids: N names.
        failed: images without a row, and why.
        row_format: of the rows.
        encoder: fingerprint of all that decides the features.

    Returns:
        The checksum of the file.
    """
    tensors = {name: np.ascontiguousarray(rows[name]) for name in row_format.record.names or ()}
    header = {
        "ids": list(ids),
        "failed": dict(failed),
        "format": vars(row_format),
        "encoder": encoder,
    }
    return write_shard_file(path, save(tensors, {"showtell": json.dumps(header)}))


@dataclass(frozen=True)
class ShardHeader:
    """The description of a shard's rows.

    Attributes:
        ids: names of the images, a row each.
        failed: images without a row, and why.
        row_format: of the rows.
        encoder: fingerprint of all that decides the features.
    """

    ids: list[str]
    failed: dict[str, str]
    row_format: RowFormat
    encoder: str

    @classmethod
    def from_json(cls, text: str) -> ShardHeader:
        """Read the text that `write_shard` wrote.

        Raises:
            ValueError: it is something else.
        """
        values = json.loads(text)
        if not isinstance(values, dict) or values.keys() != {"ids", "failed", "format", "encoder"}:
            raise ValueError("another header")
        ids, failed, form, encoder = (values[name] for name in ("ids", "failed", "format", "encoder"))
        if not isinstance(ids, list) or not isinstance(failed, dict) or not isinstance(form, dict):
            raise ValueError("another header")  # noqa: TRY004 - what a file holds
        if not all(isinstance(text, str) for text in (*ids, *failed, *failed.values(), encoder)):
            raise ValueError("an id, a reason or the encoder is no text")
        if form.keys() != {"kind", "cells", "dim"} or form["kind"] not in get_args(FeatureType):
            raise ValueError("another row format")
        if not all(type(form[name]) is int and 0 < form[name] <= 2**20 for name in ("cells", "dim")):
            raise ValueError("another row format")
        return cls(ids, failed, RowFormat(**form), encoder)

    def tensors(self) -> dict[str, tuple[list[int], str]]:
        """Shape and number format of each tensor that the shard must hold."""
        fields: Mapping[str, Any] = self.row_format.record.fields or {}
        return {
            name: ([len(self.ids), *kind.shape], _FORMATS[kind.base.str.lstrip("<|")])
            for name, (kind, *_) in fields.items()
        }


_FORMATS: Final = {"f2": "F16", "f4": "F32", "u1": "U8"}
_MAX_HEADER_BYTES: Final = 64 * 2**20


def read_header(path: Path) -> ShardHeader:
    """The description of a shard's rows, after a check that the shard has this shape.

    Raises:
        FeatureStoreError: it is missing or damaged.
    """
    return _read_remote_header(path) if is_remote(path) else _open(path)[1]


def _read_remote_header(path: Path) -> ShardHeader:
    """See `read_header`; of an object store only the header is read."""
    try:
        length = int.from_bytes(read_bytes(path, 0, 8), "little")
        if length > _MAX_HEADER_BYTES:
            raise ValueError("its header is too large")  # noqa: TRY301
        values = json.loads(read_bytes(path, 8, 8 + length))
        header = ShardHeader.from_json(values.pop("__metadata__")["showtell"])
        shapes = {name: (tensor["shape"], tensor["dtype"]) for name, tensor in values.items()}
        size = 8 + length + max(tensor["data_offsets"][1] for tensor in values.values())
        if shapes != header.tensors() or path.stat().st_size != size:
            raise ValueError("its rows are not those that it says")  # noqa: TRY301
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise FeatureStoreError(f"{path}: damaged ({error}); run the same showtell scale again") from error
    return header


def _open(path: Path) -> tuple[Any, ShardHeader]:
    try:
        if not path.is_file():
            raise ValueError("no such file, or not a regular one")  # noqa: TRY301
        with path.open("rb") as start:
            if int.from_bytes(start.read(8), "little") > _MAX_HEADER_BYTES:
                raise ValueError("its header is too large")  # noqa: TRY301
        file: Any = safe_open(path, "np")
        header = ShardHeader.from_json((file.metadata() or {}).get("showtell", "null"))
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if {n: (s.get_shape(), s.get_dtype()) for n, s in slices.items()} != header.tensors():
            raise ValueError("its rows are not those that it says")  # noqa: TRY301
    except (OSError, SafetensorError, ValueError, TypeError, RecursionError) as error:
        raise FeatureStoreError(f"{path}: damaged ({error}); run the same showtell scale again") from error
    return slices, header


class ShardedFeatures(Mapping[str, npt.NDArray[np.float16]]):
    """Features (R, D) by the id of the image.

    The ids are held in memory, the rows are read when they are asked for.

    Args:
        folder: `--out` of `showtell scale extract`.

    Attributes:
        failed: images without features, and why.

    Raises:
        UsageError: the folder is an address.
        DataError: there is no job in the folder.
        FeatureStoreError: shards are missing or damaged, made by different encoders, or hold an id twice.
    """

    def __init__(self, folder: Path) -> None:
        if is_remote(folder):
            raise UsageError(f"{folder}: features are mapped into memory; copy the folder to a disk first")
        job = read_job(folder)
        missing = job.missing()
        if missing:
            raise FeatureStoreError(
                f"{folder}: {len(missing)} of {len(job.units)} shards are missing; run the same command again"
            )
        self.failed: dict[str, str] = {}
        self._shards: list[tuple[RowFormat, dict[str, Any]]] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._same: tuple[str, RowFormat] | None = None
        for number in range(len(job.units)):
            self._add(job.shard(number), job.units[number].ids())

    def _add(self, path: Path, expected: Sequence[str] | None) -> None:
        slices, header = _open(path)
        same = (header.encoder, header.row_format)
        if self._same not in (None, same):
            raise FeatureStoreError(
                f"{path}: made by another encoder, or on another kind of machine, than those before it;"
                " delete it and run showtell scale again"
            )
        self._same = same
        ids = header.ids
        known = len(self._places)
        self._places |= {name: (len(self._shards), row) for row, name in enumerate(ids)}
        if len(self._places) != known + len(ids):
            raise FeatureStoreError(f"{path}: holds an id a second time; name other ids (--id-column)")
        if expected is not None and sorted(expected) != sorted([*header.ids, *header.failed]):
            raise FeatureStoreError(
                f"{path}: holds other images than its unit; run the same showtell scale again"
            )
        self._shards.append((header.row_format, slices))
        self.failed |= header.failed

    def __getitem__(self, name: str) -> npt.NDArray[np.float16]:
        """Features (R, D)."""
        shard, row = self._places[name]
        row_format, slices = self._shards[shard]
        return row_format.unpack({field: rows[row] for field, rows in slices.items()})

    def __iter__(self) -> Iterator[str]:
        """The ids, shard by shard: the order in which reading is fastest."""
        return iter(self._places)

    def __len__(self) -> int:
        """Images that have features."""
        return len(self._places)
