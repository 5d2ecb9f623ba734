"""A folder of photos, and reviews of it over HTTP."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from showtell.captioning.captioner import Captioner
from showtell.config import ServingConfig
from showtell.serving import create_app
from showtell.serving.review import Review
from tests.conftest import make_snippets
from tests.serving.review.reviews import Open


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_snippets(tmp_path / "photos", 3)
    (tmp_path / "photos" / "sub").mkdir()
    (tmp_path / "photos" / "0002.jpg").rename(tmp_path / "photos" / "sub" / "two, é.jpg")
    return tmp_path / "photos"


@pytest.fixture
def opened(shared_captioner: Captioner) -> Open:  # type: ignore[misc]
    with ExitStack() as stack:

        def call(
            review: Review, *, proposes: bool = False, token: str | None = None, **limits: int
        ) -> TestClient:
            app = create_app(
                shared_captioner,
                "tiny",
                ServingConfig(**limits),
                token=token,
                review=review,
                hosts=("testserver",),
            )
            client = TestClient(app)
            return stack.enter_context(client) if proposes else client  # entering starts the decoders

        yield call
