"""JSON Lines: one object a photo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from showtell.output.record import Record
from showtell.output.writer import FileWriter

if TYPE_CHECKING:
    from showtell.captioner import Caption


class JsonlWriter(FileWriter):
    """`{"image", "caption", "log_probability", "captions": [{"caption", "log_probability"}, ...]}` a line.

    `captions` are the further ones, best first. A photo that cannot be shown has `{"image", "error"}`.
    """

    def format(self, record: Record) -> str:
        """A line of JSON."""
        value: dict[str, Any] = {"image": record.image}
        if record.captions:
            best, *others = map(_caption, record.captions)
            value |= best | {"captions": others}
        else:
            value["error"] = record.error
        return json.dumps(value, ensure_ascii=False) + "\n"


def _caption(caption: Caption) -> dict[str, Any]:
    return {"caption": caption.text, "log_probability": round(caption.log_probability, 6)}
