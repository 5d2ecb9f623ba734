"""Installs the package that docs/plugins.md shows: its files as they stand there, and their entry points."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "plugins.md"


def install(folder: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a package as pip installs it, and put it on the path of this test."""
    project = tomllib.loads(files["pyproject.toml"])["project"]
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = project["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(folder))
    package = next(iter(files_of_package(files)))
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)


def install_broken(folder: Path, group: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package `wrong` whose plug-in `odd` is the object `it` of this source."""
    project = '[project]\nname = "wrong"\nversion = "1"\n'
    project += f'[project.entry-points."showtell.{group}"]\nodd = "wrong.m:it"\n'
    install(folder, {"pyproject.toml": project, "wrong/m.py": source}, monkeypatch)


def files_of_package(files: dict[str, str]) -> set[str]:
    """Names of the top-level packages."""
    return {name.partition("/")[0] for name in files if "/" in name}


def documented() -> dict[str, str]:
    """The files of the document, by name."""
    blocks = re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return dict(blocks)
