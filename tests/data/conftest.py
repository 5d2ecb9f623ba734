"""Image files of every odd and every broken kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_images import make_broken_images, make_odd_images


@pytest.fixture(scope="package")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that can be shown, by name."""
    return make_odd_images(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="package")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files that cannot be decoded, by name."""
    return make_broken_images(tmp_path_factory.mktemp("broken"))
