"""Plug-ins by entry points: listed, loaded, and named where they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.config import DataConfig, DecoderConfig
from showtell.config.plugins import load_plugin, plugin_failed, plugin_names
from showtell.errors import ConfigError, PluginError
from tests.plugin_package import documented, install, install_broken


def test_what_is_installed_is_listed_by_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plugin_names("readers") == []
    install(tmp_path / "site", documented(), monkeypatch)
    install_broken(tmp_path / "more", "readers", "it = 3", monkeypatch)
    assert plugin_names("readers") == ["arrows", "odd"]
    assert plugin_names("decoders") == ["bigram"]
    assert load_plugin("readers", "odd") == 3


def test_nothing_is_imported_before_a_name_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_broken(tmp_path, "readers", "raise ImportError('no such lib\\nat all')", monkeypatch)
    assert plugin_names("readers") == ["odd"]
    DataConfig(format="odd")
    message = (
        r"^plug-in odd of wrong \(showtell\.readers\): ImportError: no such lib at all; fix or uninstall it$"
    )
    with pytest.raises(PluginError, match=message):
        load_plugin("readers", "odd")


def test_a_plugin_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"no plug-in 'odd' among showtell\.scores \(installed: none\)"):
        load_plugin("scores", "odd")
    install_broken(tmp_path, "scores", "it = 3", monkeypatch)
    with pytest.raises(PluginError, match=r"no plug-in 'even' .* \(installed: odd\); install the package"):
        load_plugin("scores", "even")
    assert "plug-in even (showtell.scores): KeyError" in str(plugin_failed("scores", "even", KeyError("x")))


@pytest.mark.parametrize(
    ("section", "settings", "reason"),
    [
        (DecoderConfig, {"kind": "bigrm"}, r"decoder\.kind: 'bigrm' is none of .*; did you mean bigram\?"),
        (DataConfig, {"format": "arows"}, r"did you mean arrows\?"),
        (
            DataConfig,
            {"root": [{"root": "x", "format": "tabbed"}]},
            "the format of x: 'tabbed' is none of .*; install the plug-in",
        ),
    ],
)
def test_settings_may_name_plugins(
    section: type,
    settings: dict[str, object],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path, documented(), monkeypatch)
    DecoderConfig(kind="bigram")
    DataConfig(format="arrows")
    with pytest.raises(ConfigError, match=reason):
        section(**settings)
