"""A sharded feature store: safetensors files of some hundred pictures each, memory-mapped.

A shard holds the fields of `RowFormat`'s rows as tensors (N, ...), so that any framework can read it:
`features`, or `lowest`, `step` and `levels` in 8 bits. Its header has the ids of the rows, the pictures that
failed, and what the features were made by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from showtell.errors import FeatureStoreError
from showtell.feature_rows import Record, RowFormat
from showtell.files import write_atomic
from showtell.scale.job import read_job


def write_shard(
    path: Path,
    rows: Record,
    ids: Sequence[str],
    failed: Mapping[str, str],
    row_format: RowFormat,
    encoder: str,
) -> Path:
    """Write a shard, whole or not at all.

    Args:
        path: the file.
        rows: (N,), as `row_format` packs them.
        ids: N names.
        failed: pictures without a row, and why.
        row_format: of the rows.
        encoder: fingerprint of all that decides the features.
    """
    tensors = {name: np.ascontiguousarray(rows[name]) for name in row_format.record.names or ()}
    header = {
        "ids": list(ids),
        "failed": dict(failed),
        "format": vars(row_format),
        "encoder": encoder,
    }
    return write_atomic(path, save(tensors, {"showtell": json.dumps(header)}))


def read_header(path: Path) -> dict[str, Any]:
    """What a shard tells of its rows: `ids`, `failed`, `format`, `encoder`.

    Raises:
        FeatureStoreError: it is missing or damaged.
    """
    return _open(path)[1]


def _open(path: Path) -> tuple[Any, dict[str, Any]]:
    try:
        file: Any = safe_open(path, "np")
        metadata = file.metadata()
        header: dict[str, Any] = json.loads(metadata["showtell"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FeatureStoreError(f"{path}: damaged; delete it and run showtell scale again") from error
    return file, header


class ShardedFeatures(Mapping[str, npt.NDArray[np.float16]]):
    """Features (R, D) by the id of the picture.

    The ids are held in memory, the rows are read when they are asked for.

    Args:
        folder: `--out` of `showtell scale features`.

    Attributes:
        failed: pictures without features, and why.

    Raises:
        DataError: there is no job in the folder.
        FeatureStoreError: shards are missing or damaged, made by different encoders, or hold an id twice.
    """

    def __init__(self, folder: Path) -> None:
        job = read_job(folder)
        missing = job.missing()
        if missing:
            raise FeatureStoreError(
                f"{folder}: {len(missing)} of {len(job.units)} shards are missing; run the same command again"
            )
        self.failed: dict[str, str] = {}
        self._shards: list[Any] = []
        self._places: dict[str, tuple[int, int]] = {}
        self._same: tuple[str, dict[str, Any]] | None = None
        for number in range(len(job.units)):
            self._add(job.shard(number))
        self._format = RowFormat(**self._same[1]) if self._same else None

    def _add(self, path: Path) -> None:
        file, header = _open(path)
        same = (header["encoder"], header["format"])
        if self._same not in (None, same):
            raise FeatureStoreError(
                f"{path}: made by another encoder, or on another kind of machine, than those before it;"
                " delete it and run showtell scale again"
            )
        self._same = same
        ids = header["ids"]
        known = len(self._places)
        self._places |= {name: (len(self._shards), row) for row, name in enumerate(ids)}
        if len(self._places) != known + len(ids):
            raise FeatureStoreError(f"{path}: holds an id a second time; name other ids (--id-column)")
        self._shards.append({name: file.get_slice(name) for name in file.keys()})  # noqa: SIM118 - no mapping
        self.failed |= header["failed"]

    def __getitem__(self, name: str) -> npt.NDArray[np.float16]:
        """Features (R, D)."""
        shard, row = self._places[name]
        assert self._format is not None
        return self._format.unpack({field: rows[row] for field, rows in self._shards[shard].items()})

    def __iter__(self) -> Iterator[str]:
        """The ids, shard by shard: the order in which reading is fastest."""
        return iter(self._places)

    def __len__(self) -> int:
        """Pictures that have features."""
        return len(self._places)
