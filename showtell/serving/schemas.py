"""Schemas of requests and responses, from which FastAPI makes the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from showtell.captioning.caption import Caption
from showtell.config import SearchConfig

MAX_CAPTIONS: Final = 10
"""Maximum number of captions per image, and of beams."""


class CaptionOptions(BaseModel):
    """How to caption; the same for all images of a request."""

    model_config = ConfigDict(extra="forbid")

    num_captions: Annotated[
        int, Field(ge=1, le=MAX_CAPTIONS, description="captions per photo, best first")
    ] = 1
    beam_size: Annotated[
        int,
        Field(ge=1, le=MAX_CAPTIONS, description="beams, at least as many as captions; 1 is greedy"),
    ] = SearchConfig.beam_size
    attention: Annotated[bool, Field(description="return an attention map for each word")] = False

    def search(self) -> SearchConfig:
        """The search asked for; its beam is as wide as the captions asked for are many."""
        return SearchConfig(beam_size=max(self.beam_size, self.num_captions), num_captions=self.num_captions)


class CaptionRequest(CaptionOptions):
    """Images as base64."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "images": [
                    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR42mN0a7JhYGBgYmBg"
                    "YGBgAAAMZAEIf6oLsAAAAABJRU5ErkJggg=="
                ],
                "num_captions": 2,
            }
        },
    )

    images: Annotated[
        list[Annotated[str, Field(min_length=4, description="base64 of a photo's file, or a data: URL")]],
        Field(min_length=1),
    ]


class WordAnswer(BaseModel):
    """A word of a caption."""

    text: str
    probability: Annotated[float, Field(ge=0, le=1, description="probability of the word given by the model")]
    confidence: Annotated[
        float | None,
        Field(
            ge=0, le=1, description="calibrated probability that a human caption of the photo has this word"
        ),
    ]
    attention: Annotated[
        list[list[float]] | None,
        Field(description="attention map: a grid, rows from the top, that sums to 1"),
    ] = None


class CaptionAnswer(BaseModel):
    """A caption."""

    text: str
    log_probability: Annotated[float, Field(le=0, description="natural logarithm of its probability")]
    confidence: Annotated[
        float | None,
        Field(ge=0, le=1, description="calibrated probability that the caption is good"),
    ]
    doubtful: Annotated[
        bool,
        Field(description="whether the confidence is below the model's threshold"),
    ]
    words: list[WordAnswer]


class Timing(BaseModel):
    """Milliseconds of an image."""

    decode_ms: float
    queue_ms: Annotated[float, Field(description="waiting time before decoding and before its batch")]
    compute_ms: Annotated[float, Field(description="encoder and search time of its batch")]
    batch_size: Annotated[int, Field(description="photos in that batch")]


class ImageAnswer(BaseModel):
    """An image's captions, best first; or an error and no captions."""

    captions: list[CaptionAnswer]
    error: Annotated[str | None, Field(description="why the photo cannot be decoded")] = None
    timing: Timing | None = None


class CaptionResponse(BaseModel):
    """Answers in the order of the images."""

    model: Annotated[str, Field(description="name of the model")]
    results: list[ImageAnswer]
    total_ms: Annotated[float, Field(description="from the request's arrival to its answer")]


class ModelInfo(BaseModel):
    """The model, its settings and its limits."""

    model: str
    version: Annotated[str, Field(description="of showtell")]
    attention: Annotated[bool, Field(description="whether the model returns attention maps")]
    confidence: Annotated[bool, Field(description="whether its confidence has been calibrated")]
    max_bytes: Annotated[int, Field(description="maximum number of bytes per photo")]
    max_pixels: Annotated[int, Field(description="maximum number of pixels per photo")]
    max_images: Annotated[int, Field(description="maximum number of photos per request")]
    max_captions: Annotated[int, Field(description="maximum number of captions per photo")]
    max_request_bytes: Annotated[int, Field(description="maximum number of bytes per request")]


class State(BaseModel):
    """Whether the service works."""

    status: str


class Problem(BaseModel):
    """Why a request was refused."""

    detail: Annotated[str, Field(description="one line that names the problem and how to fix it")]


def describe(caption: Caption, *, attention: bool) -> CaptionAnswer:
    """A caption as it is answered."""
    probabilities = np.exp(caption.word_log_probs[: len(caption.words)]).tolist()
    confidences: tuple[float | None, ...] = caption.word_confidences or (None,) * len(caption.words)
    grids: list[Any] = [None] * len(caption.words)
    if attention and caption.attention is not None:
        grids = np.round(caption.attention.astype(np.float64), 4).tolist()
    return CaptionAnswer(
        text=caption.text,
        log_probability=min(0.0, caption.log_probability),
        confidence=caption.confidence,
        doubtful=caption.doubtful,
        words=[
            WordAnswer(text=word, probability=min(1.0, p), confidence=confidence, attention=grid)
            for word, p, confidence, grid in zip(
                caption.words, probabilities, confidences, grids, strict=True
            )
        ],
    )
