"""What is installed: the package's requirements and extras, as its metadata name them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

PACKAGE: Final = "showtell"
BASE: Final = ""
"""Stands for the requirements that are not in an extra."""
_FOR_DEVELOPERS: Final = frozenset({"dev", "docs"})
_PYPROJECT: Final = Path(__file__).resolve().parents[2] / "pyproject.toml"


def missing_packages() -> dict[str, list[str]]:
    """For each extra (and `BASE`), the requirements that are not installed, or in another version.

    A checkout is read from its pyproject.toml, an installed package from its metadata. The extras of
    developers are left out.
    """
    missing: dict[str, list[str]] = {}
    for extra, requirement in _requirements():
        if extra in _FOR_DEVELOPERS:
            continue
        lacking = missing.setdefault(extra, [])
        if (problem := _problem(requirement)) and problem not in lacking:
            lacking.append(problem)
    return missing


def _requirements() -> Iterator[tuple[str, Requirement]]:
    """The extra and each of its requirements."""
    if _PYPROJECT.is_file():
        project = tomllib.loads(_PYPROJECT.read_text(encoding="utf-8"))["project"]
        groups = {BASE: project["dependencies"], **project["optional-dependencies"]}
        for extra, texts in groups.items():
            yield from ((extra, Requirement(text)) for text in texts)
        return
    for text in _metadata():
        requirement = Requirement(text)
        marker = str(requirement.marker or "")
        _, has_extra, rest = marker.partition("extra == ")
        yield (rest.strip("\"' )") if has_extra else BASE), requirement


def _metadata() -> Sequence[str]:
    try:
        return requires(PACKAGE) or []
    except PackageNotFoundError:
        return []


def _problem(requirement: Requirement) -> str:
    """`name` if it is not installed, `name 1.0 (needs >=2)` if another version is, else empty."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return requirement.name
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"{requirement.name} {installed} (needs {requirement.specifier})"
