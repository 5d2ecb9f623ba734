"""Assets that the HTML pages share: colours, captions with hover, attention overlays."""

from __future__ import annotations

from importlib import resources


def read_asset(name: str, package: str = "showtell.web") -> str:
    """The text of a file that lies in a package.

    Args:
        name: `common.css` or `common.js`, or another file of `package`.
        package: where it lies.
    """
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
