"""A task whose units are recorded."""

from __future__ import annotations

import pytest

from showtell.captioning.captioner import Captioner
from tests.scale.jobs import Recorder


@pytest.fixture
def task(tiny_captioner: Captioner) -> Recorder:
    return Recorder(lambda: tiny_captioner)
