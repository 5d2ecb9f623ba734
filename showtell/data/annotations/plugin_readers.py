"""Readers that other packages register (`showtell.readers`): formats of their own, as records of images.

A plug-in has `matches(root) -> bool`, whether a file or folder is of its format, and `read(root)`, which
yields records as JSON Lines hold them: `{"image": NAME, "caption": TEXT}` or `"captions"`, and perhaps
`"split"`. The rules for missing photos, empty captions and `--skip-bad` are those of all formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from showtell.config.plugins import load_plugin, plugin_failed, plugin_names
from showtell.data.annotations.collector import Collector
from showtell.data.annotations.csv_tables import beside
from showtell.data.annotations.jsonlines import collect_record
from showtell.errors import ShowtellError


def matching_plugin(root: Path) -> str | None:
    """The first plug-in, by name, that takes a file or folder for its own."""
    for name in plugin_names("readers"):
        reader = load_plugin("readers", name)
        try:
            if reader.matches(root):
                return name
        except Exception as error:
            raise plugin_failed("readers", name, error) from error
    return None


def read_by_plugin(name: str, root: Path, images: Path | None, collector: Collector) -> None:
    """Collect the records of a plug-in's reader.

    Raises:
        PluginError: it is not installed, or fails.
        AnnotationError: a record cannot be used.
    """
    if root.is_file():
        collector.reads(root)
    folders = beside(root if root.is_file() else root / "records", images)
    for number, record in enumerate(_records(name, root), start=1):
        collect_record(f"{root}: record {number}", record, folders, collector)


def _records(name: str, root: Path) -> Iterator[Any]:
    reader = load_plugin("readers", name)
    try:
        yield from reader.read(root)
    except (ShowtellError, GeneratorExit):
        raise
    except Exception as error:
        raise plugin_failed("readers", name, error) from error
