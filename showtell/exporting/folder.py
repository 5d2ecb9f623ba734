"""An exported model: a folder with graphs, all that belongs to them, and an example."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from string import Template

from showtell.captioning.base import Pixels
from showtell.captioning.captioner import Captioner
from showtell.checkpoints.fingerprint import weights_fingerprint
from showtell.errors import CheckpointError, ShowtellError, UsageError
from showtell.exporting.graphs import write_graphs
from showtell.runtime.manifest import COMPILED_SUFFIX, FILE_NAME, GRAPHS, ExportPrecision, Manifest
from showtell.runtime.openvino_graphs import OpenVinoGraph
from showtell.runtime.sessions import threads
from showtell.utils.files import atomic_folder

EXAMPLE = "caption.py"
_GRAPHS = {f"{graph}.{suffix}" for graph in GRAPHS for suffix in ("onnx", "xml", "bin")}
_WRITTEN = {FILE_NAME, "README.md", EXAMPLE, *_GRAPHS}
_COMPILED = re.compile(rf"({'|'.join(GRAPHS)})-[0-9a-f]+{re.escape(COMPILED_SUFFIX)}")


def export_model(
    captioner: Captioner,
    name: str,
    folder: Path,
    precision: ExportPrecision = "fp32",
    pixels: Sequence[Pixels] = (),
) -> Manifest:
    """Write a captioner as graphs that run without PyTorch, whole or not at all.

    Args:
        captioner: to be exported; on the CPU, its decoder in fp32.
        name: of the model, which the folder records.
        folder: made; what another export has left there is replaced.
        precision: what the graphs are for. Those of `fp32` and `bf16` are the same: the runtime computes.
        pixels: images (H, W, 3) uint8 to calibrate int8 on.

    Returns:
        The content of the folder's showtell.json.

    Raises:
        UsageError: there is something else in the folder, or int8 has no images to calibrate on.
        ShowtellError: the folder cannot be written.
    """
    check_target(folder)
    if precision == "int8" and not pixels:
        raise UsageError("int8 is calibrated on photos: name some with --photos")
    try:
        return _write(captioner, name, folder.resolve(), precision, pixels)
    except OSError as error:
        raise ShowtellError(
            f"{folder}: cannot be written ({error.strerror or error}); name another folder"
        ) from error


def check_target(folder: Path) -> None:
    """See whether an export may be written there, over an earlier one at most.

    Raises:
        UsageError: there is something else, an example that was changed, or the working directory.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name another folder")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder}: is the folder you are in; go to another, or name another")
    names = {path.name for path in folder.iterdir()}
    ours = _WRITTEN | set(filter(_COMPILED.fullmatch, names)) if FILE_NAME in names else set()
    foreign = sorted(names - ours)
    if foreign:
        raise UsageError(
            f"{folder}: holds something else than an exported model ({foreign[0]}); name another"
        )
    try:
        Manifest.load(folder).check(folder / EXAMPLE)
    except CheckpointError as error:
        if (folder / EXAMPLE).exists():
            raise UsageError(
                f"{folder / EXAMPLE}: has been changed; move it away, or name another"
            ) from error


def _write(
    captioner: Captioner, name: str, folder: Path, precision: ExportPrecision, pixels: Sequence[Pixels]
) -> Manifest:
    with atomic_folder(folder) as fresh:
        context, recurrent_tensors, top = write_graphs(captioner, fresh)
        encoder = captioner.encoder
        manifest = Manifest(
            model=name,
            encoder=weights_fingerprint(encoder.state_dict()),
            precision=precision,
            transform=captioner.transform,
            vocabulary=captioner.vocabulary,
            calibration=captioner.calibration,
            grid_cells=encoder.grid_cells,
            feature_dim=encoder.feature_dim,
            has_attention=captioner.has_attention,
            context=context,
            recurrent_tensors=recurrent_tensors,
            top=top,
            files={},
        )
        if precision == "int8":
            from showtell.exporting.quantize import quantize_graphs

            quantize_graphs(fresh, captioner, pixels)
            for graph in GRAPHS:
                OpenVinoGraph.of(fresh / f"{graph}.xml", manifest).export_compiled(threads())
        example = resources.files("showtell.exporting") / "example"
        (fresh / EXAMPLE).write_bytes((example / EXAMPLE).read_bytes())
        manifest = replace(manifest, files={path.name: _sha256(path) for path in sorted(fresh.iterdir())})
        manifest.save(fresh)
        _write_readme(fresh, (example / "README.md").read_text(encoding="utf-8"), manifest)
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_readme(folder: Path, template: str, manifest: Manifest) -> None:
    text = Template(template).substitute(
        model=manifest.model,
        precision=manifest.precision,
        context=manifest.context,
        recurrent_tensors=manifest.recurrent_tensors,
        top=manifest.top,
        size=manifest.transform.size,
        attention="attention weights (B, K, R)" if manifest.has_attention else "(no attention)",
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
