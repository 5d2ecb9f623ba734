"""Attention-map images of captions."""

from __future__ import annotations

import io
import logging
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from PIL import Image

from showtell.data.find_images import IMAGE_SUFFIXES
from showtell.errors import UsageError, one_line
from showtell.output.record import Record
from showtell.utils.files import reraise_os_error
from showtell.utils.plots import plot_attention

log = logging.getLogger(__name__)

SUFFIX: Final = ".attention.png"
"""Ending of the images in a folder, so that none takes the name of a photo."""


_FILE_SUFFIXES = IMAGE_SUFFIXES | {".csv", ".htm", ".html", ".json", ".jsonl", ".md", ".pdf", ".svg", ".txt"}
"""Endings of names that are meant as files."""


class AttentionImages:
    """Draws an image for the best caption of each photo.

    Args:
        target: a folder, which gets a `<photo>.attention.png` for each photo (of photos with the same name
            `<photo>-2.attention.png` and so on), or, for one photo, a `.png` file.

    Attributes:
        written: number of images written so far.

    Raises:
        UsageError: `target` cannot be written there.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.single = target.suffix.lower() == ".png" and not target.is_dir()
        if not self.single and not target.is_dir():
            if target.exists():
                raise UsageError(f"{target}: this is no folder; name a folder, or for one photo a .png file")
            if target.suffix.lower() in _FILE_SUFFIXES:
                raise UsageError(
                    f"{target}: attention maps are .png files; name a .png file for one photo, or a folder"
                    f" (make one whose name ends in {target.suffix} before)"
                )
        self.written = 0
        self._used: set[str] = set()

    def __enter__(self) -> Self:
        """Make the folder."""
        with reraise_os_error(self.target, UsageError):
            (self.target.parent if self.single else self.target).mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log where the images are; each has been written whole."""
        if kind is None and self.written:
            what = "attention map" if self.single else f"attention maps of {self.written} photos"
            log.info("%s: %s", self.target, what)

    def made(self, name: str) -> bool:
        """Whether this name is that of an image in the folder, of this or an earlier run."""
        path = Path(name)
        return name.endswith(SUFFIX) and not self.single and path.parent.resolve() == self.target.resolve()

    def file_of(self, photo: str) -> Path:
        """A file for the image of a photo, which no other call gives."""
        if self.single:
            return self.target
        stem = Path(photo).stem[:70]
        # File systems may not tell upper case from lower.
        names = (f"{stem}{f'-{n}' if n > 1 else ''}{SUFFIX}" for n in count(1))
        name = next(name for name in names if name.casefold() not in self._used)
        self._used.add(name.casefold())
        return self.target / name

    def add(self, record: Record) -> None:
        """Draw the attention map of each word of the best caption, if the record names a file for it.

        Raises:
            ShowtellError: the image cannot be written.
        """
        best = record.captions[0] if record.captions else None
        path = record.attention_map
        if path is None or best is None or best.attention is None or record.preview is None:
            return
        photo = np.asarray(Image.open(io.BytesIO(record.preview)))
        title = f"{one_line(record.image)}\n{best.text}"
        with reraise_os_error(path):
            plot_attention(
                photo, best.words, best.attention, path, title=title, log_probs=best.word_log_probs
            )
        self.written += 1
