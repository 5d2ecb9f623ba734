"""`showtell serve` in a process of its own."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Service:
    """A running service.

    Attributes:
        process: of it.
        address: such as http://127.0.0.1:1234.
        log: lines that it wrote on standard error after it was ready.
    """

    process: subprocess.Popen[str]
    address: str
    log: list[str]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def running(model: Path | str, *options: str, files: int | None = None) -> Iterator[Service]:
    """Start a service at a free port; it is killed at the end if it still runs.

    Args:
        files: that it may have open at most.
    """

    def prepare() -> None:
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    command = [sys.executable, "-m", "showtell.cli", "serve", "--port", "0", "--model", str(model), *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # two would wait for each other on a busy machine
        preexec_fn=prepare,
    )
    try:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if address := re.search(r"ready at (\S+)", line):
                break
        else:
            raise AssertionError("".join(lines))
        log: list[str] = []
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        yield Service(process, address[1], log)
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        process.stderr.close()
