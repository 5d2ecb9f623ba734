"""Export a model by name: as graphs that need no PyTorch, or as a folder for the hub."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from tqdm import tqdm

from showtell.checkpoints.hub import is_hub_id
from showtell.checkpoints.names import split_ensemble
from showtell.data.decode_ahead import decode_ahead
from showtell.data.find_images import find_images
from showtell.data.transforms import check_image_size
from showtell.errors import UsageError
from showtell.runtime.manifest import ExportPrecision, find_exported
from showtell.utils.files import path_exists, require_writable
from showtell.utils.keywords import suggests_keywords
from showtell.utils.progress import bars_hidden
from showtell.utils.runs import resolve_last
from showtell.utils.shipped import DEFAULT_MODEL, find_model
from showtell.utils.tables import data_frame

if TYPE_CHECKING:
    import pandas as pd

    from showtell.captioning.base import Pixels
    from showtell.captioning.captioner import Captioner

log = logging.getLogger(__name__)

MIN_CALIBRATION_IMAGES: Final = 20
"""Photos that int8 is calibrated on at least."""
_CALIBRATION_PHOTOS: Final = 200
"""Photos that are enough to calibrate on."""
_COMPARED: Final = 16
"""Photos whose captions by the exported model are compared with those by PyTorch."""

Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class Agreement:
    """How many captions by an exported model are those by PyTorch."""

    same: int
    compared: int
    runtime: str

    def __str__(self) -> str:
        return f"{self.same} of {self.compared} captions by {self.runtime} are those of PyTorch"


@dataclass(frozen=True)
class ExportResult:
    """An exported model.

    Attributes:
        folder: its folder, which `showtell.load` takes.
        name: of the model.
        kind: the precision of its graphs, or `hub folder`.
        files: name -> bytes.
        seconds: that writing it took.
        agreement: with the captions by PyTorch, if photos were given.
    """

    folder: Path
    name: str
    kind: ExportPrecision | Literal["hub folder"]
    files: dict[str, int]
    seconds: float
    agreement: Agreement | None = None

    def __str__(self) -> str:
        total = sum(self.files.values()) / 1e6
        head = f"{self.folder}: {self.kind}, {total:.0f} MB, in {self.seconds:.0f} s"
        width = max(map(len, self.files)) + 2
        lines = [f"  {name:<{width}}{size / 1e6:8.1f} MB" for name, size in self.files.items()]
        return "\n".join([head, *lines, *([str(self.agreement)] if self.agreement else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "folder": str(self.folder),
            "name": self.name,
            "kind": self.kind,
            "files": dict(self.files),
            "seconds": self.seconds,
            "agreement": vars(self.agreement) if self.agreement else None,
        }

    def to_pandas(self) -> pd.DataFrame:
        """A data frame with a row for each file: file, bytes.

        Raises:
            UsageError: pandas is not installed.
        """
        return data_frame([{"file": name, "bytes": size} for name, size in self.files.items()])


@suggests_keywords()
def export(
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    out: str | os.PathLike[str] | None = None,
    *,
    precision: ExportPrecision = "fp32",
    photos: Names | None = None,
    image_size: int | None = None,
    encoder: str | None = None,
    to_hub_folder: str | os.PathLike[str] | None = None,
    language: str | None = None,
) -> ExportResult:
    """Export a model as graphs that run without PyTorch, or as a folder in the hub's conventions.

    Args:
        model: a name that `showtell.load` takes; for graphs also an ensemble `a,b`.
        out: folder of the graphs; by default exported/MODEL-PRECISION, with an image size MODEL-N-PRECISION.
        precision: of the graphs; bf16 needs OpenVINO, int8 needs photos.
        photos: files, folders or globs: int8 is calibrated on 200 of them, and captions are compared on some.
        image_size: side in pixels that images are resized to; by default the model's own.
        encoder: name of the encoder's weights, if the model file does not contain them and they have moved.
        to_hub_folder: write no graphs, but this folder: a model card, weights, configuration.
        language: of the captions, for the model card: a code such as `de`; by default `en` for a model with
            English words, else none.

    Raises:
        UsageError: the extra is not installed, photos are missing, arguments do not go together, or there is
            something else in the folder.
        ModelError: the model cannot be loaded.
    """
    name = resolve_last(os.fspath(model))
    if find_exported(name):
        raise UsageError(f"{name}: it is an exported model already; name the run that it was made of")
    check_image_size(image_size)
    if precision not in get_args(ExportPrecision):
        raise UsageError(f"precision {precision!r}: take one of {', '.join(get_args(ExportPrecision))}")
    if isinstance(photos, str | os.PathLike):
        photos = [photos]
    names = [os.fspath(each) for each in photos or ()]
    if language is not None and not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", language):
        raise UsageError(f"language {language!r}: give a code of ISO 639, such as en, de or zh")
    if to_hub_folder is None:
        if language is not None:
            raise UsageError("language is for the card of a hub folder: leave it out, or name to_hub_folder")
        return _export_graphs(name, out, precision, names, image_size, encoder)
    for argument, given in (("out", out), ("photos", names), ("precision", precision != "fp32")):
        if given:
            raise UsageError(f"{argument} is for graphs: leave it out, or to_hub_folder (--to-hub-folder)")
    return _export_hub_folder(name, Path(to_hub_folder), image_size, encoder, language)


def _export_hub_folder(
    model: str, folder: Path, image_size: int | None, encoder: str | None, language: str | None
) -> ExportResult:
    if len(split_ensemble(model)) > 1:
        raise UsageError(f"a hub folder has one model, not an ensemble: name one of {model}")
    if find_model(model) is None and is_hub_id(model):
        raise UsageError(
            f"{model}: it is a hub folder already; copy it with its card and licence: "
            f"hf download {model} --local-dir {folder}"
        )
    start = time.monotonic()
    from showtell.exporting.hub_folder import check_hub_target, write_hub_folder

    check_hub_target(folder)
    import torch

    from showtell.captioning.captioner import Captioner
    from showtell.checkpoints.model_file import locate_model

    source, name = locate_model(model), model_name(model)
    captioner = Captioner.load(
        str(source), encoder=encoder, device=torch.device("cpu"), image_size=image_size
    )
    write_hub_folder(captioner, source.parent, name, folder, language)
    return ExportResult(folder, name, "hub folder", _sizes(folder), time.monotonic() - start)


def _export_graphs(
    model: str,
    out: str | os.PathLike[str] | None,
    precision: ExportPrecision,
    photos: Sequence[str],
    image_size: int | None,
    encoder: str | None,
) -> ExportResult:
    if precision == "int8" and not photos:
        raise UsageError(
            f"precision int8 is calibrated on photos: name {MIN_CALIBRATION_IMAGES} or more, or a folder "
            "(photos, --photos)"
        )
    paths = list(find_images(photos)) if photos else []
    if missing := [path for path in paths if not path_exists(Path(path))]:
        raise UsageError(f"photos: no such file: {missing[0]}")
    _require_exporters(precision)
    from showtell.exporting.folder import check_target, export_model

    name = model_name(model)
    sized = name if image_size is None else f"{name}-{image_size}"
    folder = Path(out or f"exported/{sized}-{precision}")
    check_target(folder)
    if folder.exists():
        log.info("%s: the exported model there is replaced", folder)
    require_writable(folder, UsageError)
    import torch

    from showtell.captioning.captioner import Captioner

    captioner = Captioner.load_ensemble(
        split_ensemble(model), encoder=encoder, device=torch.device("cpu"), image_size=image_size
    )
    pixels = decode_photos(captioner, paths)
    if precision == "int8" and len(pixels) < MIN_CALIBRATION_IMAGES:
        raise UsageError(
            f"photos: {len(pixels)} of them can be decoded; int8 is calibrated on {MIN_CALIBRATION_IMAGES} or"
            " more"
        )
    captioner.encoder.precision = "fp32"
    start = time.monotonic()
    export_model(captioner, name, folder, precision, pixels)
    seconds = time.monotonic() - start
    agreement = _compare(captioner, folder, pixels[-_COMPARED:]) if pixels else None
    return ExportResult(folder, name, precision, _sizes(folder), seconds, agreement)


def _require_exporters(precision: ExportPrecision) -> None:
    """Import what exporting takes: what is missing is reported before a minute's work.

    Raises:
        UsageError: a package is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import openvino  # noqa: F401

        if precision == "int8":
            import onnxruntime  # noqa: F401

            import showtell.exporting.quantize  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            f"exporting needs {error.name}: install it with pip install 'showtell[export]'"
        ) from error


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


def model_name(model: str) -> str:
    """The name of a model, or of an ensemble: that of its folders."""
    paths = [Path(part).resolve() for part in split_ensemble(model)]
    return "+".join(path.parent.name if path.is_file() else path.name for path in paths)


def decode_photos(captioner: Captioner, photos: Sequence[str]) -> list[Pixels]:
    """Pixels of up to 200 photos, taken evenly from all; those that cannot be decoded are left out."""
    count = min(_CALIBRATION_PHOTOS, len(photos))
    chosen = [photos[number * len(photos) // count] for number in range(count)]
    decoded = decode_ahead(chosen, captioner.transform.pixels)
    bar = tqdm(decoded, total=count, desc="photos", unit="img", disable=bars_hidden())
    return [item.pixels for item in bar if item.pixels is not None]


def _compare(captioner: Captioner, folder: Path, pixels: Sequence[Pixels]) -> Agreement:
    """Compare the captions by the exported model with those by PyTorch."""
    from showtell.runtime.exported import ExportedCaptioner

    exported = ExportedCaptioner(folder)
    ours, theirs = (
        [captions[0].text for captions in model.caption_pixels(pixels)] for model in (captioner, exported)
    )
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    return Agreement(same, len(pixels), exported.runtime)
