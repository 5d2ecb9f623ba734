"""Images that take minutes to decode, and the limits that end them."""

from __future__ import annotations

from showtell.data.image_decoder_worker import WorkerSettings
from tests.serving.hostile import progressive_jpeg

SLOW = progressive_jpeg(4096, 20_000)  # minutes
WAIT = 60.0
SETTINGS = WorkerSettings(size=64, max_pixels=50_000_000, memory=400 * 2**20, niceness=0)
