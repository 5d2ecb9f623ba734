"""What the pages of showtell share: colours, words to move over, and where the model looked."""

from __future__ import annotations

from importlib import resources


def read_asset(name: str, package: str = "showtell.web") -> str:
    """The text of a file that lies in a package.

    Args:
        name: `common.css` or `common.js`, or another file of `package`.
        package: where it lies.
    """
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
