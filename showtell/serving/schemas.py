"""Schemas of requests and answers, from which FastAPI makes the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from showtell.captioning.caption import Caption
from showtell.config import SearchConfig

MAX_CAPTIONS: Final = 10
"""Captions an image, and beams, at most."""


class CaptionOptions(BaseModel):
    """How to caption; the same for all images of a request."""

    model_config = ConfigDict(extra="forbid")

    num_captions: Annotated[int, Field(ge=1, le=MAX_CAPTIONS, description="captions a photo, best first")] = 1
    beam_size: Annotated[
        int,
        Field(ge=1, le=MAX_CAPTIONS, description="beams, at least as many as captions; 1 is greedy"),
    ] = SearchConfig.beam_size
    attention: Annotated[bool, Field(description="tell where the model looked for each word")] = False

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
    probability: Annotated[float, Field(ge=0, le=1, description="that the model gave it")]
    confidence: Annotated[
        float | None, Field(ge=0, le=1, description="probability that people use the word for the photo")
    ]
    attention: Annotated[
        list[list[float]] | None,
        Field(description="share of attention of each cell of a grid over the photo, rows from the top"),
    ] = None


class CaptionAnswer(BaseModel):
    """A caption."""

    text: str
    log_probability: Annotated[float, Field(le=0, description="natural logarithm of its probability")]
    confidence: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="probability that it is better than the weakest quarter of people's captions",
        ),
    ]
    doubtful: Annotated[
        bool,
        Field(description="whether the confidence is so low that the caption should not be used unread"),
    ]
    words: list[WordAnswer]


class Timing(BaseModel):
    """Milliseconds of an image."""

    decode_ms: float
    queue_ms: Annotated[float, Field(description="waiting for a decoder and for its batch")]
    compute_ms: Annotated[float, Field(description="of the batch it was in: encoder and search")]
    batch_size: Annotated[int, Field(description="photos in that batch")]


class ImageAnswer(BaseModel):
    """An image's captions, best first; or an error and no captions."""

    captions: list[CaptionAnswer]
    error: Annotated[str | None, Field(description="why the photo cannot be shown")] = None
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
    attention: Annotated[bool, Field(description="whether the model can tell where it looked")]
    confidence: Annotated[bool, Field(description="whether its confidence has been calibrated")]
    max_bytes: Annotated[int, Field(description="bytes a photo at most")]
    max_pixels: Annotated[int, Field(description="pixels a photo at most")]
    max_images: Annotated[int, Field(description="photos a request at most")]
    max_captions: Annotated[int, Field(description="captions a photo at most")]
    max_request_bytes: Annotated[int, Field(description="bytes a request at most")]


class State(BaseModel):
    """Whether the service works."""

    status: str


class Problem(BaseModel):
    """Why a request was refused."""

    detail: Annotated[str, Field(description="one line that names what is wrong and how to mend it")]


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
