"""JSON bodies: their values are counted before they are parsed, and base64 is read in all of its forms."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from showtell.serving.refusals import RefusedError, invalid, too_many_images
from showtell.serving.schemas import CaptionRequest

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE: Final = b" \t\r\n\f\v"
_ADDRESS: Final = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)
"""Begins a URL that is to be fetched; base64 has no colon."""


def read_caption_request(content: bytes, max_images: int) -> CaptionRequest:
    """Read the body of a request, with as much work as one of `max_images` images takes.

    A body of more values than any valid one has is cut after the first ones and these are read for errors:
    parsing millions of keys would take gigabytes and stop all other requests for seconds.

    Args:
        content: the body.
        max_images: maximum number of images per request.

    Raises:
        RefusedError: it is not JSON, has unknown keys or values of a wrong type, or too many values.
    """
    end = _index_of_comma(content, 2 * max_images + 100)  # a data: URL has one too
    try:
        if end is None:
            return CaptionRequest.model_validate_json(content, strict=True)
        beginning: Any = from_json(content[:end], allow_partial=True)
        images = beginning.get("images") if isinstance(beginning, dict) else None
        if isinstance(images, list) and len(images) > max_images:
            raise too_many_images(max_images)
        CaptionRequest.model_validate_json(to_json(beginning), strict=True)
    except ValidationError as error:
        raise invalid(error) from error
    except ValueError as error:
        raise RefusedError(422, f"body: Invalid JSON: {error}") from error
    raise RefusedError(422, f"body: more values than a request of {max_images} images has")


def _index_of_comma(content: bytes, number: int) -> int | None:
    """Where the comma of this number is, counted from 1; None if there are fewer: values are few as well."""
    index = -1
    for _ in range(number):
        index = content.find(b",", index + 1)
        if index < 0:
            return None
    return index


def decode_base64(text: str, index: int) -> bytes:
    """The bytes of base64 or of a data: URL.

    The URL-safe alphabet (RFC 4648), line ends and other white space (RFC 2045), and missing padding are
    read too.

    Args:
        text: the base64.
        index: of the image in the request, for the error.

    Raises:
        RefusedError: it is not base64, but an address, for instance.
    """
    if text[:5].lower() == "data:":
        head, _, text = text.partition(",")
        if not head.lower().endswith(";base64"):
            raise RefusedError(422, f"images.{index}: a data: URL has to end its head with ;base64")
        content = unquote_to_bytes(text) if "%" in text else text.encode("utf-8", "replace")
    elif _ADDRESS.match(text):
        raise RefusedError(
            422,
            f"images.{index}: an address, and the service fetches none; send the photo itself as base64, a"
            " data: URL or a file of a form",
        )
    else:
        content = text.encode("utf-8", "replace")
    content = content.translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
    try:
        return base64.b64decode(content + b"=" * (-len(content) % 4), validate=True)
    except binascii.Error as error:
        raise RefusedError(422, f"images.{index}: not base64") from error
