"""Checks of configuration values, and names that nobody has registered."""

from __future__ import annotations

import pytest

from showtell.config import checks
from showtell.config.checks import require, require_known
from showtell.errors import ConfigError


def test_a_condition_that_does_not_hold_is_an_error_with_the_message() -> None:
    require(True, "never shown")
    with pytest.raises(ConfigError, match=r"^beams must be at least 1$"):
        require(False, "beams must be at least 1")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("topdwn", "kind: 'topdwn' is none of topdown, pooled, mine; did you mean topdown?"),
        ("mne", "kind: 'mne' is none of topdown, pooled, mine; did you mean mine?"),
        ("xyz", "kind: 'xyz' is none of topdown, pooled, mine; install the plug-in that it names"),
        (5, "kind: 5 is none of topdown, pooled, mine; install the plug-in that it names"),
    ],
)
def test_names_are_known_or_those_of_plugins(
    value: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "plugin_names", lambda kind: ["mine"] if kind == "decoders" else [])
    for known in ("topdown", "mine"):
        require_known("kind", known, ("topdown", "pooled"), "decoders")
    with pytest.raises(ConfigError) as caught:
        require_known("kind", value, ("topdown", "pooled"), "decoders")
    assert str(caught.value) == message
    with pytest.raises(ConfigError, match="'mine' is none of topdown"):
        require_known("kind", "mine", ("topdown", "pooled"), "readers")


def test_plugins_are_not_looked_for_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """To look for them takes longer than the rest of a configuration."""
    monkeypatch.setattr(checks, "plugin_names", lambda _: pytest.fail("looked for"))
    require_known("kind", "pooled", ("topdown", "pooled"), "decoders")
