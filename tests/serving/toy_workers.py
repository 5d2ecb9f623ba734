"""Workers for tests of `showtell.serving.workers`; importing them takes no time."""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path


def steady(folder: str, port: int, ready: Event) -> None:
    """Writes its process id, and stays until SIGTERM, at which it writes a file more."""

    def stop(*_: object) -> None:
        Path(folder, f"stopped-{os.getpid()}").touch()
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    Path(folder, f"pid-{os.getpid()}").write_text(str(port))
    ready.set()
    time.sleep(60)


def broken(folder: str, port: int, ready: Event) -> None:
    """Fails before it is ready."""
    Path(folder, f"pid-{os.getpid()}").touch()
    sys.exit(2)
