"""Several processes that serve at one port: started, restarted if one dies, and stopped together."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from types import FrameType
from typing import Any, Final

from showtell.errors import UsageError
from showtell.serving.server import bind

log = logging.getLogger(__name__)

Worker = Callable[[Any, int, Event], None]
"""Takes the arguments, a port, and an event to set when it is ready; serves until SIGTERM."""

_RESTART_SECONDS: Final = 1.0
"""Pause before a worker that died is started again."""


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket that holds a port for workers; it does not listen, so it gets no connections.

    Raises:
        OSError: there is no such address, or it is taken.
        UsageError: this system cannot share a port between processes.
    """
    if not hasattr(socket, "SO_REUSEPORT") or os.name == "nt":
        raise UsageError(
            "--workers: this system cannot share a port; run several behind a proxy (docs/deploy.md)"
        )
    bind(host, port).close()  # one that another program holds is refused
    return bind(host, port, shared=True)


class Workers:
    """Runs workers until SIGTERM or Ctrl-C.

    Args:
        target: of each process, which is spawned; so it must be importable.
        args: its first argument.
        port: its second.
        count: number of processes.
    """

    def __init__(self, target: Worker, args: Any, port: int, count: int) -> None:
        self._target, self._args, self._port, self._count = target, args, port, count
        self._context = multiprocessing.get_context("spawn")
        self._ready: dict[int, Event] = {}
        self._processes: dict[int, BaseProcess] = {}
        self._stopped_by: int | None = None

    def run(self) -> int:
        """Serve; returns the exit code of a worker that could not be started, else 0.

        Raises:
            KeyboardInterrupt: Ctrl-C, when all workers have finished.
        """
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self._count)))
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            code = self._start_all() or self._watch()
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._stopped_by == signal.SIGINT:
            raise KeyboardInterrupt
        return code

    def _start_all(self) -> int:
        """Start the first worker, and the others when it is ready: so an error is reported once."""
        for number in range(self._count):
            if self._stopped_by is None:
                self._start(number)
            if number == 0:
                while self._stopped_by is None and not self._ready[0].wait(0.1):
                    if not self._processes[0].is_alive():
                        return self._processes[0].exitcode or 0
        return 0

    def _start(self, number: int) -> None:
        self._ready[number] = self._context.Event()
        process = self._context.Process(
            target=self._target, args=(self._args, self._port, self._ready[number]), name=f"worker-{number}"
        )
        process.start()
        self._processes[number] = process

    def _watch(self) -> int:
        """Start workers that die again; one that dies before it is ready ends all."""
        while self._stopped_by is None:
            wait([process.sentinel for process in self._processes.values()], 0.5)
            for number, process in list(self._processes.items()):
                if process.is_alive() or self._stopped_by is not None:
                    continue
                if not self._ready[number].is_set():
                    return process.exitcode or 1
                log.warning("worker %d died (exit code %s); starting it again", number + 1, process.exitcode)
                time.sleep(_RESTART_SECONDS)
                self._start(number)
        return 0

    def _stop(self, signal_number: int, _frame: FrameType | None) -> None:
        self._stopped_by = self._stopped_by or signal_number

    def _end(self) -> None:
        for process in self._processes.values():
            if process.is_alive():
                process.terminate()
        for process in self._processes.values():
            process.join()


def follow_parent() -> None:
    """In a worker: leave Ctrl-C to the parent, and stop if the parent has died."""
    os.setpgrp()
    parent = multiprocessing.parent_process()

    def stop() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
