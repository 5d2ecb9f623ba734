"""An exported model that captions, without PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from showtell.captioning.base import CaptioningModel, Pixels, special_tokens
from showtell.config import SearchConfig
from showtell.data.decode_ahead import batches_of_a_shape
from showtell.data.transforms import ImageTransform
from showtell.errors import CheckpointError, ModelError
from showtell.runtime.manifest import FILE_NAME, Manifest
from showtell.runtime.sessions import Array, GraphRuntime, Session, Shape, open_session, pick_runtime
from showtell.search import Hypothesis, StepScores, TopWords, search
from showtell.search.interface import LOGITS_NOT_FINITE, FloatArray, IntArray

BATCH: Final = 16
"""Images per encoder call."""


class ExportedEncoder:
    """Images -> features.

    Args:
        session: runs the graph.
        manifest: of its folder.
    """

    def __init__(self, session: Session, manifest: Manifest, runtime: GraphRuntime) -> None:
        self._session, self._manifest, self._runtime = session, manifest, runtime
        self.transform = manifest.transform
        self.grid_cells, self.feature_dim = manifest.grid_cells, manifest.feature_dim

    @classmethod
    def load(cls, folder: Path, runtime: Literal["auto"] | GraphRuntime = "auto") -> ExportedEncoder:
        """Load the encoder of an exported model alone.

        Raises:
            CheckpointError: the folder is damaged.
            UsageError: the runtime is not installed, or does not compute in the model's precision.
        """
        manifest = Manifest.load(folder)
        picked = pick_runtime(runtime, manifest)
        session = open_session(folder, "encoder", manifest, picked)
        _check_encoder(folder, manifest, session)
        return cls(session, manifest, picked)

    @property
    def weights(self) -> str:
        """Fingerprint of the weights that were exported."""
        return self._manifest.encoder

    @property
    def producer(self) -> str:
        """A readable description of the encoder."""
        return f"{self._runtime}, {self._manifest.precision}"

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the features: graph, transform, runtime, precision."""
        identity = "\n".join(
            [*self._manifest.checksums("encoder"), self.transform.fingerprint(), self.producer]
        )
        return hashlib.sha256(identity.encode()).hexdigest()

    @property
    def device_type(self) -> str:
        """The device."""
        return "cpu"

    @property
    def batch_size(self) -> int:
        """Images of one shape that are encoded together."""
        return BATCH

    def encode_pixels(self, pixels: Sequence[Pixels]) -> FloatArray:
        """Features (N, R, D) of N images (H, W, 3) uint8; those of one shape share batches of `BATCH`.

        Several threads may call it.
        """
        features = np.empty((len(pixels), self.grid_cells, self.feature_dim), np.float32)
        for indices in batches_of_a_shape(pixels, BATCH):
            images = np.stack([pixels[index] for index in indices])
            with self._session.lock:
                features[indices] = self._session.run([images])[0]
        return features


@dataclass(frozen=True)
class ArrayState:
    """The recurrent state of an exported decoder (see `SearchState`)."""

    context: tuple[Array, ...]
    recurrent: tuple[Array, ...]

    @property
    def images(self) -> int:
        """Number of images, B."""
        return len(self.recurrent[0])

    def select_images(self, rows: IntArray) -> ArrayState:
        """Keep the images `rows` (B',)."""
        return ArrayState(
            tuple(a.take(rows, axis=0) for a in self.context),
            tuple(a.take(rows, axis=0) for a in self.recurrent),
        )

    def select_hypotheses(self, parents: IntArray) -> ArrayState:
        """Give each image the hypotheses `parents` (B, K') of its present ones."""
        hypotheses = self.recurrent[0].shape[1]
        flat = parents + np.arange(len(parents))[:, None] * hypotheses  # (B, K'), among B K
        return ArrayState(
            self.context,
            tuple(a.reshape(-1, *a.shape[2:]).take(flat, axis=0) for a in self.recurrent),
        )


class _ArrayStepScores(StepScores[ArrayState]):
    """The outputs of a step's graph; the step after the next may overwrite them.

    Raises:
        ModelError: the logits are not finite.
    """

    def __init__(self, state: ArrayState, outputs: Sequence[Array], end: int, has_attention: bool) -> None:
        self.state = state
        self._top, self._tokens, self._logits, self._total = outputs[:4]
        self._end: FloatArray = self._logits[:, :, end] - self._total[:, :, 0]
        if not np.isfinite(self._end).all():  # a logit that is not makes all log-probabilities of its row NaN
            raise ModelError(LOGITS_NOT_FINITE)
        self._attention = outputs[4] if has_attention else None

    def top(self, count: int) -> TopWords:
        if count > self._top.shape[2]:
            ranks = -self.log_probs()
            count = min(count, ranks.shape[2])
            likely = np.argpartition(ranks, count - 1, axis=2)[:, :, :count]
            order = np.argsort(np.take_along_axis(ranks, likely, axis=2), axis=2, kind="stable")
            likely = np.take_along_axis(likely, order, axis=2)
            return TopWords(-np.take_along_axis(ranks, likely, axis=2), likely)
        return TopWords(self._top[:, :, :count] - self._total, self._tokens[:, :, :count])

    def end(self) -> FloatArray:
        return self._end

    def log_probs(self) -> FloatArray:
        every: FloatArray = self._logits - self._total
        return every

    def attention(self) -> FloatArray | None:
        return None if self._attention is None else self._attention.copy()


class ExportedCaptioner(CaptioningModel):
    """A model that `showtell export` wrote.

    Several threads may use it. With OpenVINO one of them encodes, and one searches, at a time.

    Args:
        folder: of the model.
        runtime: what runs it.
        image_size: side in pixels that images are resized to (64 to 1024); by default what it was exported
            with.

    Raises:
        CheckpointError: the folder is damaged.
        UsageError: the runtime is not installed, or does not compute in the model's precision; or the image
            size is out of range.
    """

    def __init__(
        self,
        folder: Path,
        runtime: Literal["auto"] | GraphRuntime = "auto",
        image_size: int | None = None,
    ) -> None:
        manifest = Manifest.load(folder)
        manifest = replace(manifest, transform=manifest.transform.at_size(image_size))
        self.manifest, self.runtime = manifest, pick_runtime(runtime, manifest)
        self.vocabulary, self.calibration = manifest.vocabulary, manifest.calibration
        # The first loads the runtime; compiling the others takes as many cores as there are.
        self._start = open_session(folder, "start", manifest, self.runtime)
        with ThreadPoolExecutor(2) as pool:
            encoder, self._step = pool.map(
                lambda graph: open_session(folder, graph, manifest, self.runtime), ("encoder", "step")
            )
        _check_encoder(folder, manifest, encoder)
        _check_decoder(folder, manifest, self._start, self._step)
        self.encoder = ExportedEncoder(encoder, manifest, self.runtime)
        self._specials = special_tokens(self.vocabulary)

    @property
    def summary(self) -> str:
        """The kind of its decoder, for `repr`."""
        return f"decoder {'with' if self.has_attention else 'without'} attention, {self.manifest.precision}"

    @property
    def runs_on(self) -> str:
        """The runtime that computes, for `repr`."""
        return self.runtime

    @property
    def transform(self) -> ImageTransform:
        """Makes the images that the encoder takes."""
        return self.manifest.transform

    @property
    def has_attention(self) -> bool:
        """Whether the decoder returns attention weights."""
        return self.manifest.has_attention

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the captions, besides the search: graphs, words, runtime."""
        identity = "\n".join(
            [*self.manifest.checksums(), self.vocabulary.fingerprint, self.encoder.fingerprint()]
        )
        return hashlib.sha256(identity.encode()).hexdigest()

    def encode_pixels(self, pixels: Sequence[Pixels]) -> FloatArray:
        """Features (N, R, D) of N images (H, W, 3) uint8 that the transform has made."""
        return self.encoder.encode_pixels(pixels)

    def generate(
        self, features: FloatArray, config: SearchConfig, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Search captions for features (B, R, D)."""
        if not len(features):
            return []
        with self._start.lock:
            state_tensors = [array.copy() for array in self._start.run([features])]
        parts = self.manifest.context
        state = ArrayState(tuple(state_tensors[:parts]), tuple(state_tensors[parts:]))
        with self._step.lock:  # a step reads what the step before has written
            return search(self._following, state, self._specials, config, attention=attention)

    def _following(self, tokens: IntArray, state: ArrayState) -> _ArrayStepScores:
        outputs = self._step.run([tokens, *state.context, *state.recurrent])
        recurrent = tuple(outputs[-len(state.recurrent) :])
        return _ArrayStepScores(
            ArrayState(state.context, recurrent), outputs, self._specials.eos, self.manifest.has_attention
        )


def _check_encoder(folder: Path, manifest: Manifest, encoder: Session) -> None:
    """Compare the sizes of an encoder's features with the manifest.

    Raises:
        CheckpointError: they differ.
    """
    _require_match(folder, _has_sizes(encoder.outputs[0], manifest.grid_cells, manifest.feature_dim))


def _check_decoder(folder: Path, manifest: Manifest, start: Session, step: Session) -> None:
    """Compare the tensors of a decoder's graphs, and the sizes of features and vocabulary, with the manifest.

    Raises:
        CheckpointError: they differ.
    """
    state_tensors = manifest.context + manifest.recurrent_tensors
    expected = (state_tensors, 1 + state_tensors, 4 + manifest.has_attention + manifest.recurrent_tensors)
    counts = (len(start.outputs), len(step.inputs), len(step.outputs))
    _require_match(folder, manifest.recurrent_tensors > 0 and counts == expected)
    _require_match(folder, _has_sizes(start.inputs[0], manifest.grid_cells, manifest.feature_dim))
    _require_match(folder, _has_sizes(step.outputs[2], len(manifest.vocabulary)))


def _has_sizes(shape: Shape, *last: int) -> bool:
    """Whether the last sizes of a shape are these, or left open."""
    sizes = shape[-len(last) :]
    return len(sizes) == len(last) and all(
        size in (None, wanted) for size, wanted in zip(sizes, last, strict=True)
    )


def _require_match(folder: Path, matches: bool) -> None:
    if not matches:
        raise CheckpointError(
            f"{folder}: damaged (its graphs do not have the tensors that {FILE_NAME} describes); export the"
            " model again"
        )
