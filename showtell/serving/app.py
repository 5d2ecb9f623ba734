"""The FastAPI application: routes, handlers, OpenAPI schema."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from showtell import __version__
from showtell.captioning.base import CaptioningModel
from showtell.captioning.caption import Caption
from showtell.config import SearchConfig, ServingConfig
from showtell.errors import ImageError
from showtell.serving.batcher import Answer, Batcher, BatcherBusyError
from showtell.serving.guards import (
    FinishRequests,
    LimitActive,
    RefuseForeignHosts,
    RefuseForeignPages,
    RequireToken,
    Watch,
)
from showtell.serving.refusals import RefusedError
from showtell.serving.review.routes import PROPOSALS, add_review
from showtell.serving.review.session import Review
from showtell.serving.schemas import (
    MAX_CAPTIONS,
    CaptionOptions,
    CaptionRequest,
    CaptionResponse,
    ImageAnswer,
    ModelInfo,
    Problem,
    State,
    Timing,
    describe,
)
from showtell.serving.static_files import add_pages
from showtell.serving.telemetry import Telemetry
from showtell.serving.uploads import IMAGE_FIELDS, UploadBudget, read_upload

log = logging.getLogger(__name__)

_DESCRIPTION = """Captions of photos, by a frozen ResNet50 and a recurrent decoder.

    curl -F images=@photo.jpg -F attention=true ADDRESS/v1/captions

Photos of many requests are captioned together. When the queue is full, the answer is 503 with
`Retry-After`.
"""
_REFUSALS: Final[dict[int, str]] = {
    400: "The body cannot be read.",
    401: "The access token is missing or wrong.",
    403: "The request comes from a page of another site.",
    408: "The upload took too long.",
    413: "The request, or a photo, is too large.",
    415: "Neither multipart/form-data nor JSON.",
    422: "An option is out of range, there are too many photos, or none of them can be decoded.",
    503: "The service is busy: try again after the seconds of Retry-After.",
}


def create_app(
    captioner: CaptioningModel,
    name: str,
    config: ServingConfig,
    *,
    token: str | None = None,
    cors_origins: Sequence[str] = (),
    review: Review | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Make the service.

    Args:
        captioner: the model; it is not changed.
        name: of the model, as it is answered.
        config: the limits.
        token: that requests to /v1 and /metrics have to send, if any.
        cors_origins: web sites whose pages may use the service; without any, only its own.
        review: photos whose captions are reviewed; the page is then that of the review.
        hosts: names of this service besides localhost and addresses; without a token, a review answers to
            no other.
    """
    telemetry = Telemetry()
    batcher = Batcher(captioner, config, telemetry.batch)
    telemetry.watch(batcher)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(batcher.start)
        yield
        until = app.state.closing_until
        patience = config.time_limit if until is None else max(0.1, until - time.monotonic())
        app.state.ended = await run_in_threadpool(batcher.close, patience)

    app = FastAPI(
        title="showtell",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address to go to would be made of what the client calls this host
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    app.state.closing, app.state.closing_until, app.state.ended = False, None, True
    app.state.max_active, app.state.drop, app.state.kill = math.inf, batcher.drop, batcher.kill_decoders
    names = None if review is None or token else tuple(hosts)
    _add_guards(app, config, telemetry, token, tuple(cors_origins), names)
    app.add_exception_handler(RefusedError, _refuse)
    security = [Depends(HTTPBearer(auto_error=False))] if token else []
    service = _Service(captioner, name, config, batcher, telemetry)
    _add_captions(app, service, security)
    _add_state(app, batcher, telemetry, security)
    if review:
        add_review(app, review, config, service.propose, security)
    add_pages(app, "index.html" if review is None else "review.html")
    return app


def _add_guards(
    app: FastAPI,
    config: ServingConfig,
    telemetry: Telemetry,
    token: str | None,
    origins: tuple[str, ...],
    hosts: tuple[str, ...] | None,
) -> None:
    """Add what stands before every route; `hosts` is None if any name of this service is answered."""
    # The last one added is the outermost: whatever answers is counted and has its headers.
    if token:
        app.add_middleware(RequireToken, token=token, prefixes=("/v1", "/metrics"))
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    if hosts is not None:
        app.add_middleware(RefuseForeignHosts, hosts=hosts)
    app.add_middleware(RefuseForeignPages, origins=origins)
    app.add_middleware(LimitActive, most=lambda: app.state.max_active, always=("/healthz", "/readyz"))
    app.add_middleware(Watch, count=telemetry.request, closing=lambda: app.state.closing)
    app.add_middleware(FinishRequests, max_unread=config.max_request_bytes)


class _Service:
    """The handlers of the routes under /v1."""

    def __init__(
        self,
        captioner: CaptioningModel,
        name: str,
        config: ServingConfig,
        batcher: Batcher,
        telemetry: Telemetry,
    ) -> None:
        self.captioner, self.name, self.config = captioner, name, config
        self.batcher, self.telemetry = batcher, telemetry
        self.upload_budget = UploadBudget(config.upload_memory)

    def info(self) -> ModelInfo:
        return ModelInfo(
            model=self.name,
            version=__version__,
            attention=self.captioner.has_attention,
            confidence=self.captioner.calibration is not None,
            max_bytes=self.config.max_bytes,
            max_pixels=self.config.max_pixels,
            max_images=self.config.max_images,
            max_captions=MAX_CAPTIONS,
            max_request_bytes=self.config.max_request_bytes,
        )

    async def caption(self, request: Request) -> CaptionResponse:
        start = time.monotonic()
        deadline = asyncio.get_running_loop().time() + self.config.time_limit
        async with self.upload_budget.reserve() as reservation:
            try:
                async with asyncio.timeout_at(deadline):
                    upload = await read_upload(request, self.config, reservation)
            except TimeoutError as error:
                raise RefusedError(408, f"the upload took over {self.config.time_limit:g} seconds") from error
            answer = await self._answers(
                request,
                upload.images,
                upload.options.search(),
                deadline,
                attention=upload.options.attention,
            )
        return self._response(answer, upload.options, start)

    async def propose(self, request: Request, image: bytes) -> Sequence[Caption]:
        """Captions of one image file, best first; see `showtell.serving.review.routes.Propose`."""
        search = SearchConfig(beam_size=PROPOSALS, num_captions=PROPOSALS)
        deadline = asyncio.get_running_loop().time() + self.config.time_limit
        (answer,) = await self._answers(request, [image], search, deadline)
        if isinstance(answer, BaseException):
            raise answer
        self.telemetry.answer(answer)
        return answer.captions

    async def _answers(
        self,
        request: Request,
        images: Sequence[bytes],
        search: SearchConfig,
        deadline: float,
        *,
        attention: bool = False,
    ) -> list[Answer | BaseException]:
        """Answers for images; an ImageError for each that cannot be decoded."""
        futures = self._submit(images, search, attention=attention)
        try:
            async with asyncio.timeout_at(deadline):
                return await _unless_gone(request, futures)
        except BatcherBusyError as error:
            raise self._busy(str(error), error.retry_after) from error
        except TimeoutError as error:
            raise self._busy(f"not done within {self.config.time_limit:g} seconds") from error
        finally:
            for future in futures:
                future.cancel()

    def _submit(
        self, images: Sequence[bytes], search: SearchConfig, *, attention: bool
    ) -> list[Future[Answer]]:
        if attention and not self.captioner.has_attention:
            raise RefusedError(422, "attention: this model has no attention maps; leave it out")
        try:
            return self.batcher.submit(images, search, attention=attention)
        except BatcherBusyError as error:
            raise self._busy(str(error), error.retry_after) from error

    def _busy(self, detail: str, seconds: float | None = None) -> RefusedError:
        wait = self.batcher.retry_after() if seconds is None else seconds
        return RefusedError(503, detail, {"Retry-After": str(max(1, math.ceil(wait)))})

    def _response(
        self, answers: Sequence[Answer | BaseException], options: CaptionOptions, start: float
    ) -> CaptionResponse:
        results = []
        for one in answers:
            if isinstance(one, ImageError):
                self.telemetry.refused()
                results.append(ImageAnswer(captions=[], error=one.reason))
            elif isinstance(one, BaseException):
                raise one
            else:
                self.telemetry.answer(one)
                results.append(_image_answer(one, options))
        if not any(result.captions for result in results):
            raise RefusedError(422, f"images.0: {results[0].error}")
        total = 1000 * (time.monotonic() - start)
        return CaptionResponse(model=self.name, results=results, total_ms=round(total, 1))


def _image_answer(answer: Answer, options: CaptionOptions) -> ImageAnswer:
    return ImageAnswer(
        captions=[describe(caption, attention=options.attention) for caption in answer.captions],
        timing=Timing(
            decode_ms=round(1000 * answer.decode_seconds, 1),
            queue_ms=round(1000 * answer.queue_seconds, 1),
            compute_ms=round(1000 * answer.compute_seconds, 1),
            batch_size=answer.batch_size,
        ),
    )


async def _unless_gone(request: Request, futures: Sequence[Future[Answer]]) -> list[Answer | BaseException]:
    """Wait for answers; if whoever asked has left before, what is not yet begun is not computed."""
    answers = [asyncio.wrap_future(future) for future in futures]
    for answer in answers:
        answer.add_done_callback(_heard)
    gone: asyncio.Future[Any] = asyncio.ensure_future(_gone(request))
    try:
        while waiting := [answer for answer in answers if not answer.done()]:
            done, _ = await asyncio.wait([*waiting, gone], return_when=asyncio.FIRST_COMPLETED)
            if done == {gone}:
                raise RefusedError(400, "the connection was closed before the answer")
        if any(answer.cancelled() for answer in answers):
            raise BatcherBusyError("the service is shutting down", 5.0)
        return [answer.exception() or answer.result() for answer in answers]
    finally:
        for future in (gone, *answers):
            future.cancel()


def _heard(answer: asyncio.Future[Answer]) -> None:
    """Take note of an error that nobody may wait for any more."""
    if not answer.cancelled():
        answer.exception()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JSONResponse({"detail": error.detail}, error.status, error.headers)


def _add_captions(app: FastAPI, service: _Service, security: list[Any]) -> None:
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": text} for status, text in _REFUSALS.items()
    }

    @app.post(
        "/v1/captions",
        summary="Caption photos",
        response_model_exclude_none=False,
        responses=refusals,
        openapi_extra={"requestBody": _request_body(service.config.max_images)},
        dependencies=security,
    )
    async def caption(request: Request) -> CaptionResponse:
        """Caption one or many images; those of several that cannot be decoded have an `error`."""
        return await service.caption(request)

    @app.get(
        "/v1/model", summary="The model and the limits", responses={401: refusals[401]}, dependencies=security
    )
    async def model() -> ModelInfo:
        return service.info()


def _request_body(max_images: int) -> dict[str, Any]:
    """The request body of /v1/captions, for the OpenAPI document."""
    form, body = CaptionOptions.model_json_schema(), CaptionRequest.model_json_schema()
    images = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "maxItems": max_images,
        "description": "files of photos",
    }
    form["properties"] = {IMAGE_FIELDS[0]: images, **form["properties"]}
    form["required"] = [IMAGE_FIELDS[0]]
    body["properties"]["images"]["maxItems"] = max_images
    return {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": body},
        },
    }


def _add_state(app: FastAPI, batcher: Batcher, telemetry: Telemetry, security: list[Any]) -> None:
    broken: dict[int | str, dict[str, Any]] = {503: {"model": Problem}}

    @app.get("/healthz", summary="Liveness", responses=broken)
    async def healthz() -> State:
        if not batcher.works:
            raise HTTPException(503, "the captioning thread has died: restart the service")
        return State(status="ok")

    @app.get("/readyz", summary="Readiness", responses=broken)
    async def readyz() -> State:
        if app.state.closing or not batcher.ready:
            raise HTTPException(503, "not ready", {"Retry-After": "5"})
        return State(status="ready")

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
        dependencies=security,
    )
    async def metrics() -> Response:
        return Response(telemetry.render(), media_type=telemetry.content_type)
