"""An exported model: a folder with graphs, all that belongs to them, and an example."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template

from showtell.captioner import Captioner
from showtell.captioning import Pixels
from showtell.errors import UsageError
from showtell.export.graphs import write_graphs
from showtell.fingerprints import weights_fingerprint
from showtell.runtime.manifest import FILE_NAME, ExportPrecision, Manifest

log = logging.getLogger(__name__)


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
        name: of the model, to be told by the folder.
        folder: made; what another export has left there is replaced.
        precision: what the graphs are for. Those of `fp32` and `bf16` are the same: the runtime computes.
        pixels: pictures (H, W, 3) uint8 to calibrate int8 on.

    Returns:
        What the folder's showtell.json tells.

    Raises:
        UsageError: there is something else in the folder, or int8 has no pictures to calibrate on.
    """
    if folder.exists() and not (folder / FILE_NAME).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise UsageError(f"{folder}: holds something else than an exported model; name another folder")
    if precision == "int8" and not pixels:
        raise UsageError("int8 is calibrated on photos: name some with --photos")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as made:
        fresh = Path(made) / "export"
        fresh.mkdir()
        context, memory, top = write_graphs(captioner, fresh)
        if precision == "int8":
            from showtell.export.quantize import quantize_graphs

            quantize_graphs(fresh, pixels, context)
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
            attends=captioner.attends,
            context=context,
            memory=memory,
            top=top,
            files={path.name: _sha256(path) for path in sorted(fresh.iterdir())},
        )
        manifest.save(fresh)
        _write_example(fresh, manifest)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_example(folder: Path, manifest: Manifest) -> None:
    """caption.py and README.md."""
    example = resources.files("showtell.export") / "example"
    (folder / "caption.py").write_bytes((example / "caption.py").read_bytes())
    text = Template((example / "README.md").read_text(encoding="utf-8")).substitute(
        model=manifest.model,
        precision=manifest.precision,
        context=manifest.context,
        memory=manifest.memory,
        top=manifest.top,
        size=manifest.transform.size,
        looked="where it looked (B, K, R)" if manifest.attends else "nothing else",
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
