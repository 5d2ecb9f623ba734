"""The log on the screen."""

from __future__ import annotations

import logging
import sys

from tqdm import tqdm


class _ScreenHandler(logging.Handler):
    """Log lines that leave progress bars whole."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def log_to_screen(level: int = logging.INFO) -> None:
    """Write what showtell logs at this level and above to standard error, a line each."""
    handler = _ScreenHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("showtell")
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level)
    for name in list(logging.root.manager.loggerDict):  # a command before, in this process, may have set some
        if name.startswith("showtell."):
            logging.getLogger(name).setLevel(logging.NOTSET)
