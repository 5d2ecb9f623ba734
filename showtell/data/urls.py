"""Addresses of the web, which are given where files are expected."""

from __future__ import annotations

import re
from typing import Final

NOT_DOWNLOADED: Final = "is a URL, and showtell downloads nothing; download the image and give its path"
"""Why an address is no image, and the fix."""
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)
_OF_THE_WEB: Final = re.compile(r"[a-z][a-z0-9+.-]+://+", re.IGNORECASE)


def is_url(name: str) -> bool:
    """Whether a name is an address: `https://...`, `s3://...`, `data:...`."""
    return _URL.match(name) is not None


def path_of_url(name: str) -> str | None:
    """The host and path of `https://host/path`, as downloads are stored; None for other names."""
    match = _OF_THE_WEB.match(name)
    return name[match.end() :] or None if match else None
