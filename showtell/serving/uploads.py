"""Requests in: multipart or JSON, within limits, to the bytes of images. Nothing touches the disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from showtell.config import ServingConfig
from showtell.serving.json_body import decode_base64, read_caption_request
from showtell.serving.refusals import RefusedError, invalid, too_many_images
from showtell.serving.schemas import CaptionOptions

IMAGE_FIELDS: Final = ("images", "image")
"""Names of the multipart fields that hold images."""


@dataclass(frozen=True)
class Upload:
    """A request: the bytes of images, and the options of their captions."""

    images: tuple[bytes, ...]
    options: CaptionOptions


class UploadBudget:
    """Bytes of all requests together that may be held at once; used in one event loop only.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    @asynccontextmanager
    async def reserve(self) -> AsyncIterator[_Reservation]:
        """Account for the memory of a request until the end of the block."""
        reservation = _Reservation(self)
        try:
            yield reservation
        finally:
            self.used -= reservation.taken


class _Reservation:
    def __init__(self, budget: UploadBudget) -> None:
        self.budget, self.taken = budget, 0

    def add(self, count: int) -> None:
        if self.budget.used + count > self.budget.limit:
            raise RefusedError(503, "too many large requests at once; try again later", {"Retry-After": "2"})
        self.budget.used += count
        self.taken += count


async def read_upload(request: Request, config: ServingConfig, reservation: _Reservation) -> Upload:
    """Read a request to the end, or as far as it is within the limits.

    Raises:
        RefusedError: it is too large, of an unknown type, or invalid.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > config.max_request_bytes:
        raise _too_large(config)
    body = _limited(request, config, reservation)
    try:
        if kind == "multipart/form-data":
            return await _read_multipart(request, body, config)
        if kind == "application/json":
            content = b"".join([chunk async for chunk in body])
            return await run_in_threadpool(_read_json, content, config)
    except ClientDisconnect as error:
        raise RefusedError(400, "the request ended before its body did") from error
    raise RefusedError(415, "send photos as multipart/form-data, or as base64 in application/json")


def _too_large(config: ServingConfig) -> RefusedError:
    return RefusedError(
        413, f"the request is larger than {config.max_request_bytes} bytes; send less at once"
    )


async def _limited(
    request: Request, config: ServingConfig, reservation: _Reservation
) -> AsyncGenerator[bytes, None]:
    """The body's chunks."""
    async for chunk in request.stream():
        if reservation.taken + len(chunk) > config.max_request_bytes:
            raise _too_large(config)
        reservation.add(len(chunk))
        yield chunk


class _InMemory(MultiPartParser):
    """Starlette's parser, whose files stay in memory: they are never larger than a request may be."""

    def __init__(self, *arguments: Any, spool_max_size: int, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.spool_max_size = spool_max_size


async def _read_multipart(
    request: Request, body: AsyncGenerator[bytes, None], config: ServingConfig
) -> Upload:
    parser = _InMemory(
        request.headers,
        body,
        max_files=config.max_images,
        max_fields=len(CaptionOptions.model_fields),
        spool_max_size=2 * config.max_request_bytes,
    )
    try:
        form = await parser.parse()
    except (RefusedError, ClientDisconnect):
        raise
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise too_many_images(config.max_images) from error
        raise RefusedError(400, f"not a readable multipart/form-data body: {error.message}") from error
    except Exception as error:  # header values that are no text, ...
        raise RefusedError(400, "not a readable multipart/form-data body") from error
    images: list[bytes] = []
    values: dict[str, str] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                if name not in IMAGE_FIELDS:
                    raise RefusedError(422, f"a file in an unknown field; name it {IMAGE_FIELDS[0]}")
                images.append(await value.read())
            elif name in values:
                raise RefusedError(422, "a field is repeated")
            else:
                values[name] = value
    finally:
        await form.close()
    return _checked(images, _validated(CaptionOptions, values), config)


def _read_json(content: bytes, config: ServingConfig) -> Upload:
    asked = read_caption_request(content, config.max_images)
    images = [decode_base64(text, index) for index, text in enumerate(asked.images)]
    options = CaptionOptions(**asked.model_dump(exclude={"images"}))
    return _checked(images, options, config)


def _validated(kind: type[CaptionOptions], values: dict[str, str]) -> CaptionOptions:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from error


def _checked(images: list[bytes], options: CaptionOptions, config: ServingConfig) -> Upload:
    if not images:
        raise RefusedError(422, f"no photos: send files in the field {IMAGE_FIELDS[0]}")
    if len(images) > config.max_images:
        raise too_many_images(config.max_images)
    for index, image in enumerate(images):
        if len(image) > config.max_bytes:
            raise RefusedError(413, f"images.{index}: the photo is larger than {config.max_bytes} bytes")
    return Upload(tuple(images), options)
