"""Plug-ins: decoders, scores, dataset readers and encoders that other packages register by entry points.

A package registers `name = "module:object"` in one of the groups `showtell.decoders`, `showtell.scores`,
`showtell.readers` and `showtell.encoders` (docs/plugins.md). Nothing is imported before a name is used.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from showtell.errors import PluginError

PluginKind = Literal["decoders", "scores", "readers", "encoders"]


def plugin_names(kind: PluginKind) -> list[str]:
    """Names of the plug-ins of a kind that are installed, sorted."""
    return sorted(_registered(kind))


def load_plugin(kind: PluginKind, name: str) -> Any:
    """What a package has registered under a name.

    Raises:
        PluginError: there is no such plug-in, or importing it fails.
    """
    known = _registered(kind)
    if name not in known:
        have = ", ".join(sorted(known)) or "none"
        raise PluginError(
            f"no plug-in {name!r} among showtell.{kind} (installed: {have}); install the package that has it"
        )
    try:
        return known[name].load()
    except Exception as error:
        raise plugin_failed(kind, name, error) from error


def plugin_failed(kind: PluginKind, name: str, error: Exception) -> PluginError:
    """The error of a plug-in that has raised one."""
    entry_point = _registered(kind).get(name)
    package = (
        f" of {entry_point.dist.name}" if entry_point is not None and entry_point.dist is not None else ""
    )
    return PluginError(
        f"plug-in {name}{package} (showtell.{kind}): {type(error).__name__}: {' '.join(str(error).split())};"
        " fix or uninstall it"
    )


def _registered(kind: PluginKind) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"showtell.{kind}")}
