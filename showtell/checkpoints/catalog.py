"""The models of this machine: included ones, runs, exported ones, and those in the hub's cache."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from showtell.checkpoints.hub_metadata import CONFIG, MODEL_TYPE
from showtell.checkpoints.run_summary import read_run
from showtell.errors import ShowtellError
from showtell.utils.files import read_json, read_small
from showtell.utils.runs import MODEL, run_folders
from showtell.utils.shipped import MODELS
from showtell.utils.yaml_files import load_yaml

EXPORTED: Final = Path("exported")
"""The default folder of `showtell export`, relative to the working directory."""
_MANIFEST: Final = "showtell.json"
_CARD: Final = "README.md"
_SCORE: Final = "CIDEr"


@dataclass(frozen=True)
class ModelEntry:
    """A model of this machine.

    Attributes:
        name: as `--model` takes it (an encoder: as `--encoder.weights` takes it).
        place: `included`, `run`, `exported`, or `hub cache`.
        kind: `captioner` or `encoder`.
        data: names of the datasets that it was trained or evaluated on, if they are known.
        scores: dataset -> CIDEr on its validation photos, as far as they are known.
        bytes: size of its files.
        problem: why it cannot be used; empty if it can.
    """

    name: str
    place: str
    kind: str = "captioner"
    data: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    bytes: int = 0
    problem: str = ""


def list_models() -> list[ModelEntry]:
    """The models of this machine: included, runs (the newest first), exported, in the hub's cache."""
    return [*_included(), *_runs(), *_exported(), *_cached()]


def known_names() -> list[str]:
    """The names of these models, without reading them."""
    shipped = [folder.name for folder in _folders(MODELS)]
    local = [str(folder) for folder in [*run_folders(trained=True), *_folders(EXPORTED)]]
    return [*shipped, *local, *(name for name, _ in _cached_folders())]


def _included() -> Iterator[ModelEntry]:
    for folder in _folders(MODELS):
        kind = "encoder" if _model_type(folder) == "resnet" else "captioner"
        scores = _scores_of_card(folder)
        yield ModelEntry(
            folder.name, "included", kind, tuple(scores), scores, folder_bytes(folder), _problem(folder)
        )


def _runs() -> Iterator[ModelEntry]:
    for folder in run_folders():
        size = _file_bytes(folder / MODEL)
        try:
            facts = read_run(folder)
        except ShowtellError as error:
            yield ModelEntry(str(folder), "run", bytes=size, problem=str(error))
            continue
        data = facts.dataset if facts else ""
        scores = {data: facts.scores[_SCORE]} if facts and _SCORE in facts.scores else {}
        problem = "" if size else "no model saved yet"
        yield ModelEntry(str(folder), "run", "captioner", (data,) if data else (), scores, size, problem)


def _exported() -> Iterator[ModelEntry]:
    for folder in _folders(EXPORTED):
        if (folder / _MANIFEST).is_file():
            yield ModelEntry(str(folder), "exported", bytes=folder_bytes(folder))


def _cached() -> Iterator[ModelEntry]:
    for name, folder in _cached_folders():
        scores = _scores_of_card(folder)
        size = folder_bytes(folder)
        problem = "" if (folder / MODEL).exists() else "not downloaded whole"
        yield ModelEntry(name, "hub cache", "captioner", tuple(scores), scores, size, problem)


def _cached_folders() -> Iterator[tuple[str, Path]]:
    """Hub id and folder of showtell's models in the hub's cache: of each the newest snapshot."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for repository in sorted(_glob(Path(HF_HUB_CACHE), "models--*")):
        snapshots = [path.parent for path in _glob(repository, f"snapshots/*/{CONFIG}")]
        ours = [folder for folder in snapshots if _model_type(folder) == MODEL_TYPE]
        if ours:
            name = repository.name.removeprefix("models--").replace("--", "/", 1)
            yield name, max(ours, key=lambda folder: folder.stat().st_mtime)


def _folders(parent: Path) -> list[Path]:
    """Folders in a folder, sorted."""
    return sorted(
        path for path in _glob(parent, "*") if path.is_dir() and not path.name.startswith((".", "_"))
    )


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:  # may not be read
        return []


def folder_bytes(folder: Path) -> int:
    """Size in bytes of all files in a folder and its folders, each once; 0 if it is missing."""
    sizes: dict[tuple[int, int], int] = {}  # the hub's cache has links to each file
    for path in _glob(folder, "**/*"):
        with suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _model_type(folder: Path) -> object:
    try:
        return read_json(folder / CONFIG).get("model_type")
    except (OSError, ValueError):
        return None


def _problem(folder: Path) -> str:
    """Why a folder of weights is none: Git LFS leaves small text files in place of large ones."""
    path = folder / MODEL
    if not path.is_file():
        return f"{MODEL} is missing"
    with path.open("rb") as file:
        start = file.read(7)
    return f"{MODEL} is a pointer of Git LFS: run git lfs pull" if start == b"version" else ""


def _scores_of_card(folder: Path) -> dict[str, float]:
    """Dataset -> CIDEr, from the metadata of a model card; empty if there are none."""
    try:
        text = read_small(folder / _CARD).decode("utf-8")
        metadata = load_yaml(text.split("---", 2)[1])
        return dict(_results(metadata["model-index"]))
    except (OSError, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError):
        return {}


def _results(index: Iterable[Any]) -> Iterator[tuple[str, float]]:
    for model in index:
        for result in model["results"]:
            for metric in result["metrics"]:
                if metric.get("name") == _SCORE:
                    yield str(result["dataset"]["name"]), float(metric["value"])


def to_json(models: Iterable[ModelEntry]) -> str:
    """The models as a JSON list."""
    return json.dumps([vars(model) for model in models], indent=1, ensure_ascii=False)
