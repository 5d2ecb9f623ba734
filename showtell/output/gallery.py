"""A page with photos and their captions: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from showtell.output.file_writer import FileWriter
from showtell.output.record import Record
from showtell.web import read_asset
from showtell.web.heat import attention_bytes
from showtell.web.templates import load_template


class GalleryWriter(FileWriter):
    """A card per photo, with its preview in the page itself; the page sorts and searches them.

    Words show their confidence and their attention maps. The blocks of `gallery.html` are the
    parts of the page.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._template = load_template(
            "gallery.html",
            "output",
            base64=_base64,
            heat=lambda attention: _base64(attention_bytes(attention)),
            percent=lambda share: f"{100 * share:.0f} %",
        )
        self._failed = 0

    def _block(self, name: str, **values: Any) -> str:
        return "".join(self._template.blocks[name](self._template.new_context(values)))

    def head(self) -> str:
        """The page down to the first card."""
        css = read_asset("common.css") + read_asset("gallery.css", __package__)
        return self._block("head", title=self.path.stem, css=css)

    def format(self, record: Record) -> str:
        """A card."""
        self._failed += not record.captions
        return self._block("card", record=record)

    def foot(self) -> str:
        """The page after the last card."""
        js = read_asset("common.js") + read_asset("gallery.js", __package__)
        return self._block("foot", captioned=self.count - self._failed, failed=self._failed, js=js)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
