"""JSON Lines: one object per photo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from showtell.output.file_writer import FileWriter
from showtell.output.record import Record

if TYPE_CHECKING:
    from showtell.captioning.caption import Caption


class JsonlWriter(FileWriter):
    """`{"image", "caption", "log_probability", "captions": [{"caption", "log_probability"}, ...]}` per line.

    `captions` are all of them, best first; the best one stands outside too. Captions of a calibrated model,
    unless sampled, also have their `confidence`, `words` and `word_confidences`, and whether they are
    `doubtful`. `attention_map` is the file of the image of the attention, if one is drawn. A photo that
    cannot be decoded has `{"image", "error"}`.
    """

    def format(self, record: Record) -> str:
        """A line of JSON."""
        return json_line(record)


def json_line(record: Record) -> str:
    """A photo's captions as a line of JSON; see `JsonlWriter`."""
    value: dict[str, Any] = {"image": record.image}
    if record.captions:
        captions = [_caption(record, caption) for caption in record.captions]
        value |= captions[0] | {"captions": captions}
    else:
        value["error"] = record.error
    if record.attention_map is not None:
        value["attention_map"] = str(record.attention_map)
    return json.dumps(value, ensure_ascii=False) + "\n"


def _caption(record: Record, caption: Caption) -> dict[str, Any]:
    value: dict[str, Any] = {
        "caption": caption.text,
        "log_probability": round(caption.log_probability, 6),
    }
    if caption.confidence is not None:
        value["confidence"] = round(caption.confidence, 4)
        value["doubtful"] = record.doubtful(caption)
        value["words"] = caption.words
        value["word_confidences"] = [round(share, 4) for share in caption.word_confidences or ()]
    return value
