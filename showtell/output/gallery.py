"""A page with photos and their captions: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from showtell.output.file_writer import FileWriter
from showtell.output.record import Record


class GalleryWriter(FileWriter):
    """A card a photo, with its preview in the page itself. The blocks of `gallery.html` are its parts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("showtell", "output"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
        self._template = environment.get_template("gallery.html")
        self._failed = 0

    def _block(self, name: str, **values: Any) -> str:
        return "".join(self._template.blocks[name](self._template.new_context(values)))

    def head(self) -> str:
        """The page down to the first card."""
        return self._block("head", title=self.path.stem)

    def format(self, record: Record) -> str:
        """A card."""
        self._failed += not record.captions
        return self._block("card", record=record)

    def foot(self) -> str:
        """The page after the last card."""
        return self._block("foot", captioned=self.count - self._failed, failed=self._failed)
