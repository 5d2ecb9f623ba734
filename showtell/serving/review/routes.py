"""The routes of a review, under /v1/review: its state, each photo with its proposals, and the decisions.

A photo is named by its number in the review, never by a path.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

import anyio
from fastapi import FastAPI, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from showtell.captioning.caption import Caption, as_sentence
from showtell.config import ServingConfig
from showtell.data.annotations.entries import EntryError, caption_text
from showtell.data.images import decode_image
from showtell.errors import ImageError, ShowtellError
from showtell.serving.refusals import RefusedError, invalid
from showtell.serving.review.session import Review
from showtell.serving.schemas import CaptionAnswer, Problem, describe

PROPOSALS: Final = 3
"""Number of captions that are proposed for a photo."""
_SIDE: Final = 1600
"""Longest side in pixels of a photo on the page."""
_AT_ONCE: Final = 2
"""Maximum number of photos that are decoded for the page at a time."""
_BODY: Final = 65_536
"""Maximum number of bytes of a decision."""

Number = Annotated[int, Path(description="of the photo, from 0")]

Propose = Callable[[Request, bytes], Awaitable[Sequence[Caption]]]
"""Captions of an image file, best first. Raises ImageError if it cannot be decoded."""


class ReviewState(BaseModel):
    """The progress of a review."""

    kind: str
    output: Annotated[str, Field(description="the CSV file of the captions")]
    then: Annotated[str, Field(description="the command that uses it")]
    total: Annotated[int, Field(description="photos to decide on")]
    decided_before: Annotated[int, Field(description="photos that earlier reviews decided on")]
    saved: Annotated[int, Field(description="captions saved in this review")]
    skipped: Annotated[int, Field(description="photos skipped in this review")]
    next: Annotated[int | None, Field(description="number of the next photo without a decision")]


class ReviewPhoto(BaseModel):
    """A photo, its proposed captions, and the decision."""

    number: int
    name: str
    decided: bool
    caption: Annotated[str | None, Field(description="the saved caption; null if the photo was skipped")]
    proposals: list[CaptionAnswer]
    error: Annotated[str | None, Field(description="why there are no proposals")] = None


class Decision(BaseModel):
    """A caption to save; or null, to skip the photo."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"caption": "a dog runs"}})

    caption: Annotated[str | None, Field(max_length=2000, description="null skips the photo")]


def add_review(
    app: FastAPI, review: Review, config: ServingConfig, propose: Propose, security: list[Any]
) -> None:
    """Add the routes.

    Args:
        app: the service.
        review: the photos and their decisions.
        config: limits of photos.
        propose: returns the captions of a photo.
        security: what the routes depend on.
    """
    service = _ReviewService(review, config, propose)
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem} for status in (400, 401, 403, 404, 413, 415, 422, 500, 503)
    }
    settings: dict[str, Any] = {"responses": refusals, "dependencies": security}

    @app.get("/v1/review", summary="Progress of the review", **settings)
    async def state() -> ReviewState:
        return service.state(-1)

    @app.get("/v1/review/{number:int}", summary="A photo and its proposals", **settings)
    async def photo(request: Request, number: Number) -> ReviewPhoto:
        return await service.photo(request, number)

    @app.get("/v1/review/{number:int}/photo", summary="A photo as JPEG", response_class=Response, **settings)
    async def pixels(number: Number) -> Response:
        return Response(await service.jpeg(number), media_type="image/jpeg")

    body = {"required": True, "content": {"application/json": {"schema": Decision.model_json_schema()}}}

    @app.put(
        "/v1/review/{number:int}",
        summary="Save a caption, or skip",
        openapi_extra={"requestBody": body},
        **settings,
    )
    async def decide(request: Request, number: Number) -> ReviewState:
        return await service.decide(number, await _decision(request))

    @app.delete("/v1/review/{number:int}", summary="Take a decision back", **settings)
    async def undo(number: Number) -> ReviewState:
        return await service.undo(number)


class _ReviewService:
    """What the routes do."""

    def __init__(self, review: Review, config: ServingConfig, propose: Propose) -> None:
        self.review, self.config, self.propose = review, config, propose
        self.decoding = anyio.CapacityLimiter(_AT_ONCE)

    def state(self, number: int) -> ReviewState:
        saved, skipped = self.review.counts()
        return ReviewState(
            kind=self.review.kind,
            output=str(self.review.output),
            then=self.review.then,
            total=len(self.review.items),
            decided_before=self.review.decided_before,
            saved=saved,
            skipped=skipped,
            next=self.review.next_after(number),
        )

    async def photo(self, request: Request, number: int) -> ReviewPhoto:
        self._check(number)
        item = self.review.items[number]
        captions: Sequence[Caption] = ()
        error = None
        try:
            content = await run_in_threadpool(self.review.read, number, self.config.max_bytes)
            captions = await self.propose(request, content)
        except ImageError as reason:
            error = reason.reason
        decided, caption = self.review.decision(number)
        proposals = [describe(each, attention=False) for each in captions]
        if self.review.kind == "alt":
            proposals = [each.model_copy(update={"text": as_sentence(each.text)}) for each in proposals]
        return ReviewPhoto(
            number=number,
            name=item.title or item.name,
            decided=decided,
            caption=caption,
            proposals=proposals,
            error=error,
        )

    async def jpeg(self, number: int) -> bytes:
        self._check(number)
        try:
            return await anyio.to_thread.run_sync(self._jpeg, number, limiter=self.decoding)
        except ImageError as error:
            raise RefusedError(422, error.reason) from error

    def _jpeg(self, number: int) -> bytes:
        content = self.review.read(number, self.config.max_bytes)
        image = decode_image(content, size_hint=_SIDE, max_pixels=self.config.max_pixels)
        image.thumbnail((_SIDE, _SIDE))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=85)
        return stream.getvalue()

    async def decide(self, number: int, decision: Decision) -> ReviewState:
        self._check(number)
        if decision.caption is None:
            await self._save(self.review.skip, number)
        else:
            await self._save(self.review.decide, number, _caption(decision.caption))
        return self.state(number)

    async def undo(self, number: int) -> ReviewState:
        self._check(number)
        await self._save(self.review.undo, number)
        return self.state(number - 1)

    def _check(self, number: int) -> None:
        if number >= len(self.review.items):
            raise RefusedError(404, f"no photo {number}: the review has {len(self.review.items)}, from 0")

    async def _save(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            await run_in_threadpool(act, *arguments)
        except ShowtellError as error:
            raise RefusedError(500, f"not saved: {error}") from error


async def _decision(request: Request) -> Decision:
    """The body of a request, of bounded size."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, 'send {"caption": "..."} as application/json')
    content = b""
    try:
        async for chunk in request.stream():
            content += chunk
            if len(content) > _BODY:
                raise RefusedError(413, f"a decision of more than {_BODY} bytes; shorten the caption")
    except ClientDisconnect as error:
        raise RefusedError(400, "the request ended before its body did") from error
    try:
        return Decision.model_validate_json(content, strict=True)
    except ValidationError as error:
        raise invalid(error) from error


def _caption(text: str) -> str:
    """A caption in one line, that training can use."""
    try:
        return caption_text(" ".join(text.split()))
    except EntryError as error:
        raise RefusedError(422, f"{error}; write at least one word, or skip the photo") from error
