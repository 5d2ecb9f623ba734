"""A small site with thirty images in HTML and Markdown, twenty-four of them without alt text."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

MISSING = 24
PICTURES = 30


def make_site(folder: Path, photos: Sequence[Path]) -> Path:
    """Write the site: two HTML pages and two of Markdown; among 30 images 24 lack alt text."""
    images = folder / "images"
    images.mkdir(parents=True)
    names = [f"photo {number:02}.jpg" for number in range(PICTURES)]
    for number, name in enumerate(names):
        shutil.copy(photos[number % len(photos)], images / name)
    plain = [name.replace(" ", "%20") for name in names]
    (folder / "index.html").write_bytes(
        "<!doctype html>\r\n<title>Été</title>\r\n".encode("latin-1")  # no UTF-8, and CRLF
        + b"".join(b'<p><img src="images/%b">\r\n' % name.encode() for name in plain[:8])
        + b"".join(b'<img src="images/%b" alt="kept">' % name.encode() for name in plain[8:11])
        + b'<img src="https://elsewhere.example/x.jpg"><img src="images/missing.jpg">'
    )
    (folder / "sub").mkdir()
    (folder / "sub" / "page.htm").write_text(
        "\n".join(f"<img class=wide src='/images/{name}'/>" for name in plain[11:17])
    )
    (folder / "notes.md").write_text(
        "# Notes\n\n" + "\n\n".join(f"![](images/{name})" for name in plain[17:23]) + "\n\n`![](code.jpg)`\n"
    )
    (folder / "sub" / "more notes.md").write_text(
        "".join(f"- text ![](../images/{name}) and more\n" for name in plain[23:27])
        + "".join(f"![kept](../images/{name})\n" for name in plain[27:30])
    )
    return folder
