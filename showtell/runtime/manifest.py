"""What is in the folder of an exported model.

    showtell.json    all that is not a graph: vocabulary, transform, precision, checksums
    encoder.onnx     pixels (B, H, W, 3) uint8 -> features (B, R, D)
    start.onnx       features -> what the decoder remembers: context (B, ...), memory (B, 1, ...)
    step.onnx        tokens (B, K), context, memory (B, K, ...) -> the next words, memory

Models in int8 have some of them a second time, as `.xml` and `.bin`, for OpenVINO: the two runtimes fuse
differently, and a graph quantised for one is slower, or less exact, in the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

from showtell.data.images import ImageTransform
from showtell.data.vocabulary import Vocabulary
from showtell.errors import CheckpointError
from showtell.evaluation.confidence import Calibration
from showtell.files import write_atomic
from showtell.resources import find_model

FORMAT_VERSION: Final = 1
FILE_NAME: Final = "showtell.json"
GRAPHS: Final = ("encoder", "start", "step")

ExportPrecision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True)
class Manifest:
    """What `showtell.json` tells.

    Attributes:
        model: name of the model that was exported.
        encoder: fingerprint of its encoder's weights.
        precision: what its graphs are for.
        transform: makes the pictures that the encoder takes.
        vocabulary: the words.
        calibration: of the confidence, where the model had one.
        grid_cells: R.
        feature_dim: D.
        attends: whether a step tells where it looked.
        context: number of tensors that belong to the image.
        memory: number of tensors that belong to the hypothesis.
        top: likeliest words that a step tells.
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
    attends: bool
    context: int
    memory: int
    top: int
    files: Mapping[str, str]

    def save(self, folder: Path) -> Path:
        """Write it to `folder`."""
        values = {"version": FORMAT_VERSION, **vars(self)}
        values["transform"] = asdict(self.transform)
        values["vocabulary"] = self.vocabulary.words
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
            values: dict[str, Any] = json.loads(path.read_bytes())
            version = values.pop("version")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: damaged; export the model again") from error
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{path}: of version {version}, this showtell reads version {FORMAT_VERSION}; export the"
                " model again"
            )
        try:
            transform, calibration = values.pop("transform"), values.pop("calibration")
            _check_types(values)
            return cls(
                **values
                | {
                    "transform": ImageTransform(
                        transform["size"], tuple(transform["mean"]), tuple(transform["std"])
                    ),
                    "vocabulary": Vocabulary(values["vocabulary"]),
                    "calibration": Calibration.from_json(calibration) if calibration else None,
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); export the model again") from error

    def check(self, path: Path) -> Path:
        """`path`, after comparing the file with its checksum.

        Raises:
            CheckpointError: the file is missing, or is another.
        """
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise CheckpointError(f"{path}: {reason}; export the model again") from error
        if found != self.files.get(path.name):
            raise CheckpointError(f"{path}: damaged (another checksum); export the model again")
        return path


def _check_types(values: dict[str, Any]) -> None:
    types = {"files": dict, "vocabulary": list, "model": str}
    wrong = [name for name, kind in types.items() if not isinstance(values[name], kind)]
    if wrong:
        raise TypeError(wrong[0])
    if values["precision"] not in get_args(ExportPrecision):
        raise ValueError("precision")


def find_exported(name: str) -> Path | None:
    """The folder of an exported model of that name (a path, or a folder in models/), if it is one."""
    folder = find_model(name)
    return folder if folder is not None and (folder / FILE_NAME).is_file() else None
