"""What is installed, against requirements that are made up."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from showtell.utils import installation
from showtell.utils.installation import BASE, missing_packages

INSTALLED = {"torch": "2.13.0+cpu", "ray": "2.9", "tqdm": "4.66"}
PYPROJECT = """
[project]
dependencies = ["torch>=2.10,<3", "tqdm", "pillow>=10"]
[project.optional-dependencies]
scale = ["ray>=2.40", "pyarrow"]
serve = ["tqdm>=4"]
dev = ["pytest"]
"""
METADATA = [
    "torch>=2.10,<3",
    "tqdm",
    "pillow>=10",
    'ray>=2.40; extra == "scale"',
    "pyarrow; extra == 'scale'",
    'tqdm>=4; extra == "serve"',
    'pytest; extra == "dev"',
]


@pytest.fixture(autouse=True)
def made_up_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages that are installed, by name."""

    def version(name: str) -> str:
        if name not in INSTALLED:
            raise PackageNotFoundError(name)
        return INSTALLED[name]

    monkeypatch.setattr(installation, "version", version)


@pytest.mark.parametrize("checkout", [True, False])
def test_what_is_missing_or_of_another_version_is_named(
    checkout: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject = tmp_path / "pyproject.toml"
    if checkout:
        pyproject.write_text(PYPROJECT)
    monkeypatch.setattr(installation, "_PYPROJECT", pyproject)
    monkeypatch.setattr(installation, "requires", lambda name: METADATA)
    assert missing_packages() == {
        BASE: ["pillow"],
        "scale": ["ray 2.9 (needs >=2.40)", "pyarrow"],
        "serve": [],
    }


def test_a_package_without_metadata_lacks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "_PYPROJECT", tmp_path / "none")
    monkeypatch.setattr(installation, "requires", requires)
    assert missing_packages() == {}
