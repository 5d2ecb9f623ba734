"""The manifest of an exported model's folder.

    showtell.json    all that is not a graph: vocabulary, transform, precision, checksums
    encoder.onnx     pixels (B, H, W, 3) uint8 -> features (B, R, D)
    start.onnx       features -> context of the image (B, ...), recurrent state (B, 1, ...)
    step.onnx        tokens (B, K), context, recurrent state (B, K, ...) -> the next words, recurrent state

Models in int8 have them a second time, as `.xml` and `.bin`, for OpenVINO: the two runtimes fuse differently,
and a graph quantised for one is slower, or less exact, in the other. `.blob` is the compiled
model of such a graph (`showtell.runtime.openvino_graphs`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from showtell.captioning.confidence import Calibration
from showtell.data.transforms import ImageTransform
from showtell.data.vocabulary import Vocabulary
from showtell.errors import CheckpointError
from showtell.runtime.external_data import external_files
from showtell.utils.files import read_json, write_atomic
from showtell.utils.shipped import find_model

FORMAT_VERSION: Final = 1
FILE_NAME: Final = "showtell.json"
GRAPHS: Final = ("encoder", "start", "step")
COMPILED_SUFFIX: Final = ".blob"
"""Suffix of the files of compiled models."""

ExportPrecision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True)
class Manifest:
    """The content of `showtell.json`.

    Attributes:
        model: name of the model that was exported.
        encoder: fingerprint of its encoder's weights.
        precision: what its graphs are for.
        transform: makes the images that the encoder takes.
        vocabulary: the words.
        calibration: of the confidence, or None if it is not calibrated.
        grid_cells: number of grid cells, R.
        feature_dim: feature dimension, D.
        has_attention: whether a step returns attention weights.
        context: number of tensors that belong to the image.
        recurrent_tensors: number of tensors of the recurrent state, which belong to the hypothesis.
        top: number of top tokens that a step returns.
        files: SHA-256 (hex) of each file.
    """

    model: str
    encoder: str
    precision: ExportPrecision
    transform: ImageTransform
    vocabulary: Vocabulary
    calibration: Calibration | None
    grid_cells: int
    feature_dim: int
    has_attention: bool
    context: int
    recurrent_tensors: int
    top: int
    files: Mapping[str, str]

    def save(self, folder: Path) -> Path:
        """Write it to `folder`."""
        values: dict[str, Any] = {"version": FORMAT_VERSION}
        values |= {_FILE_KEYS.get(name, name): value for name, value in vars(self).items()}
        values["transform"] = asdict(self.transform)
        values["vocabulary"] = self.vocabulary.words
        values["vocabulary_fingerprint"] = self.vocabulary.fingerprint
        values["calibration"] = asdict(self.calibration) if self.calibration else None
        return write_atomic(folder / FILE_NAME, json.dumps(values, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read that of `folder`.

        Raises:
            CheckpointError: it is damaged, or of another version.
        """
        path = folder / FILE_NAME
        try:
            values = read_json(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise CheckpointError(f"{path}: damaged ({reason}); export the model again") from error
        version = values.pop("version", None)
        if version is None:
            raise CheckpointError(f"{path}: damaged (no version); export the model again")
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: of version {str(version)[:40]}, this showtell reads version {FORMAT_VERSION};"
                " export the model again"
            )
        try:
            return _from_json(values)
        except ValueError as error:
            raise CheckpointError(f"{path}: damaged ({error}); export the model again") from error

    def checksums(self, of: str = "") -> list[str]:
        """`name SHA-256` of each file whose name contains `of`, but for compiled models; sorted."""
        files = {name: sha for name, sha in self.files.items() if not name.endswith(COMPILED_SUFFIX)}
        return [f"{name} {sha}" for name, sha in sorted(files.items()) if of in name]

    def check(self, path: Path) -> Path:
        """`path`, after comparing the file with its checksum; of an ONNX graph also the files of its weights.

        Raises:
            CheckpointError: a file is missing, or is another.
        """
        try:
            self._compare(path)
            for name in sorted(external_files(path)) if path.suffix == ".onnx" else ():
                if name not in self.files or Path(name).name != name:
                    raise CheckpointError(
                        f"{path}: has weights in {name}, which is not a file of this model; export it again"
                    )
                self._compare(path.with_name(name))
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise CheckpointError(f"{path}: {reason}; export the model again") from error
        except ValueError as error:
            raise CheckpointError(f"{path}: no ONNX graph ({error}); export the model again") from error
        return path

    def _compare(self, path: Path) -> None:
        if not path.is_file() and path.exists():
            raise CheckpointError(f"{path}: not a regular file; export the model again")
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        if checksum != self.files.get(path.name):
            raise CheckpointError(f"{path}: damaged (another checksum); export the model again")


_COUNTS: Final = {
    "grid_cells": 2**14,
    "feature_dim": 2**16,
    "context": 64,
    "recurrent_tensors": 64,
    "top": 2**16,
}
"""Numbers of a manifest, and the largest that makes sense."""
_FILE_KEYS: Final = {"has_attention": "attends", "recurrent_tensors": "memory"}
"""Fields whose keys in the file are others."""


def _from_json(values: dict[str, Any]) -> Manifest:
    """The manifest of what its file holds.

    Raises:
        ValueError: a value is missing, unknown, of another type, or out of range.
    """
    for name, key in _FILE_KEYS.items():
        if key in values:
            values[name] = values.pop(key)
    fingerprint = values.pop("vocabulary_fingerprint", None)  # earlier exports have none
    names = {field.name for field in fields(Manifest)}
    if wrong := names ^ values.keys():
        raise ValueError(f"{min(wrong)} is missing, or unknown")
    for name, most in _COUNTS.items():
        if type(values[name]) is not int or not 0 <= values[name] <= most:
            raise ValueError(_FILE_KEYS.get(name, name))
    files = values["files"]
    if not isinstance(files, dict) or not all(isinstance(sha, str) for sha in files.values()):
        raise ValueError("files")
    types = {"model": str, "encoder": str, "has_attention": bool}
    if odd := [name for name, kind in types.items() if not isinstance(values[name], kind)]:
        raise ValueError(odd[0])
    if values["precision"] not in get_args(ExportPrecision):
        raise ValueError("precision")
    calibration, vocabulary = values["calibration"], Vocabulary.from_words(values["vocabulary"])
    if fingerprint not in (None, vocabulary.fingerprint):
        raise ValueError("vocabulary")
    made = {
        "transform": ImageTransform.from_json(values["transform"]),
        "vocabulary": vocabulary,
        "calibration": None if calibration is None else Calibration.from_json(calibration),
    }
    return Manifest(**values | made)


def find_exported(name: str) -> Path | None:
    """The folder of an exported model of that name (a path, or a folder in models/), if it is one."""
    folder = find_model(name)
    return folder if folder is not None and (folder / FILE_NAME).is_file() else None
