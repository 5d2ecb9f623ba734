"""Tasks of a worker: a shard of captions, or of features, from each unit."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from showtell.config import FeatureType, SearchConfig
from showtell.data.decode_ahead import Decoded, batched, decode_ahead
from showtell.errors import DataError
from showtell.features.row_format import RowFormat
from showtell.output.jsonl import JsonlWriter
from showtell.output.record import Record
from showtell.scale.checksums import Checksum, write_shard_file
from showtell.scale.feature_shards import read_header, write_shard
from showtell.scale.units import SourceImage, Unit
from showtell.utils.storage import read_bytes

if TYPE_CHECKING:  # they import torch, which the driver of a job does without
    from showtell.captioning.base import CaptioningModel
    from showtell.features.encoding import FeatureEncoder, Features, Pixels

ENCODE_CHUNK: Final = 64
"""Images that are handed to the encoder together; those of one shape share its batches."""

Failures = dict[str, str]
"""Images that could not be decoded, by id, and why."""


class Task(ABC):
    """Makes shards. It goes to its worker before the model is loaded, which is at the first unit.

    Attributes:
        shards: file name of a shard, with `{}` where the unit's number goes.
    """

    shards: ClassVar[str]

    @abstractmethod
    def run(self, unit: Unit, shard: Path) -> Checksum:
        """Make a unit's shard, whole or not at all, whatever is there already.

        Returns:
            The checksum of the shard.

        Raises:
            ModelError: the model cannot be loaded.
            ShowtellError: the shard cannot be written.
        """

    @property
    @abstractmethod
    def producer(self) -> str:
        """Fingerprint of all that decides what the shards hold, besides the settings; loads the model."""

    @abstractmethod
    def outcome(self, shard: Path) -> tuple[list[str], Failures]:
        """Names of the images of a shard that is there, and those that failed.

        Raises:
            ShowtellError: it is damaged.
        """


@dataclass
class CaptionTask(Task):
    """JSON Lines, as `showtell caption --output` writes them.

    Attributes:
        load: gives the model.
        search: how to search.
        batch_size: images whose captions are searched together; None for the model's choice.
    """

    shards: ClassVar[str] = "captions-{}.jsonl"
    load: Callable[[], CaptioningModel]
    search: SearchConfig
    batch_size: int | None

    @cached_property
    def _model(self) -> CaptioningModel:
        return self.load()

    @cached_property
    def producer(self) -> str:
        """See `Task.producer`."""
        return self._model.fingerprint()

    def run(self, unit: Unit, shard: Path) -> Checksum:
        """See `Task.run`."""
        stream = self._model.caption_stream(
            unit.images(), self.search, open_source=SourceImage.open, batch_size=self.batch_size
        )
        lines = JsonlWriter(shard)
        text = "".join(
            lines.format(Record(done.source.id, done.captions, done.error.reason if done.error else None))
            for done in stream
        )
        return write_shard_file(shard, text.encode(errors="backslashreplace"))

    def outcome(self, shard: Path) -> tuple[list[str], Failures]:
        """See `Task.outcome`."""
        names: list[str] = []
        failed: Failures = {}
        try:
            for line in io.StringIO(read_bytes(shard).decode(), newline="\n"):
                record = json.loads(line)
                names.append(str(record["image"]))
                if "error" in record:
                    failed[names[-1]] = str(record["error"])
                elif not isinstance(record["caption"], str):
                    raise ValueError("a caption is no text")  # noqa: TRY301
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{shard}: damaged, line {len(names) + 1} is no record ({error}); run the same command again"
            ) from error
        return names, failed


@dataclass
class FeatureTask(Task):
    """Features of whole images, as the feature cache has them (see `showtell.scale.feature_shards`).

    Attributes:
        load: gives the encoder.
        kind: how features are stored.
    """

    shards: ClassVar[str] = "features-{}.safetensors"
    load: Callable[[], FeatureEncoder]
    kind: FeatureType

    @cached_property
    def _encoder(self) -> FeatureEncoder:
        return self.load()

    @cached_property
    def producer(self) -> str:
        """See `Task.producer`."""
        return self._encoder.fingerprint()

    def run(self, unit: Unit, shard: Path) -> Checksum:
        """See `Task.run`.

        Raises:
            DataError: an id comes twice: features are looked up by their ids.
        """
        encoder = self._encoder
        row_format = RowFormat(self.kind, encoder.grid_cells, encoder.feature_dim)
        rows = np.empty(len(unit), row_format.record)
        ids: list[str] = []
        failed: Failures = {}
        seen: set[str] = set()
        for batch in self._decoded(unit):
            for item in batch:
                if item.source.id in seen:
                    raise DataError(
                        f"{item.source.id}: the id of two images; name a column of unique ids (--id-column)"
                    )
                seen.add(item.source.id)
            failed |= {item.source.id: item.error.reason for item in batch if item.error is not None}
            good = [item for item in batch if item.pixels is not None]
            if good:
                packed = row_format.pack(self._encode(good)).cpu()
                rows[len(ids) : len(ids) + len(good)] = row_format.records(packed)
                ids += [item.source.id for item in good]
        return write_shard(shard, rows[: len(ids)], ids, failed, row_format, self.producer)

    def _decoded(self, unit: Unit) -> Iterator[list[Decoded[SourceImage, Pixels]]]:
        transform = self._encoder.transform
        decoded = decode_ahead(
            unit.images(), lambda image: transform.pixels(image.open()), ahead=ENCODE_CHUNK
        )
        with closing(decoded):
            yield from batched(decoded, ENCODE_CHUNK)

    def _encode(self, items: list[Decoded[SourceImage, Pixels]]) -> Features:
        return self._encoder.encode_pixels([item.pixels for item in items if item.pixels is not None])

    def outcome(self, shard: Path) -> tuple[list[str], Failures]:
        """See `Task.outcome`."""
        header = read_header(shard)
        return [*header.ids, *header.failed], header.failed
