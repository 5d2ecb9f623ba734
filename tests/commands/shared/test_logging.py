"""The log on the screen."""

from __future__ import annotations

import logging

from showtell.commands.shared.logging import log_to_screen
from showtell.utils.progress import bars_hidden


def test_a_command_logs_what_it_is_asked_to_whatever_ran_before() -> None:
    quiet = logging.getLogger("showtell.training")
    quiet.setLevel(logging.ERROR)  # as `showtell tune` does
    log_to_screen(logging.INFO)
    assert quiet.isEnabledFor(logging.INFO)
    log_to_screen(logging.WARNING)
    assert not quiet.isEnabledFor(logging.INFO)
    assert bars_hidden()
