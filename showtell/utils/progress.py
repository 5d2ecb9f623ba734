"""Whether progress bars are displayed."""

from __future__ import annotations

import logging
import sys
from typing import Final

PROGRESS_BAR_ABOVE: Final = 16
"""More images than this get a progress bar."""


def bars_hidden() -> bool:
    """Whether standard error is no terminal, or the log is quiet (`--quiet`): for the `disable` of tqdm."""
    return not sys.stderr.isatty() or not logging.getLogger("showtell").isEnabledFor(logging.INFO)
