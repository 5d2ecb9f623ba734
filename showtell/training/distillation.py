"""Distillation of an ensemble into one model (Hinton et al. 2015, arXiv:1503.02531).

The model learns the mean word probabilities of its teachers, at each word of human captions and of
captions that it has sampled itself (Agarwal et al. 2024, arXiv:2306.13649). The model and each teacher
see another view of the image, and some images are mixed with another (Beyer et al. 2022, arXiv:2106.05237;
Zhang et al. 2018, arXiv:1710.09412): so the model also learns the mean over views.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from showtell.captioning.base import special_tokens
from showtell.captioning.captioner import Captioner
from showtell.config import DistillationConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionDataset
from showtell.data.multi_view import multi_view
from showtell.decoder import RNNDecoder, single_decoder
from showtell.errors import UsageError
from showtell.training.cross_entropy import CrossEntropy, StepLoss, decoder_features
from showtell.training.distributed import ddp_loss_scale
from showtell.training.losses import linear_divergence
from showtell.training.sampling import CaptionSampler, SampledBatch
from showtell.utils.devices import to_device


class Distillation(CrossEntropy):
    """Trains a decoder further: minimises the divergence from the teachers, saves the model of highest CIDEr.

    Args:
        captioner: the model.
        config: the optimisation.
        distillation: of this stage.
        teachers: decoders for the same features and the same vocabulary, on the device of the model; put in
            evaluation mode.
    """

    stage = "distillation"
    metric = "divergence"
    settings = "distillation"

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        distillation: DistillationConfig,
        teachers: Sequence[RNNDecoder],
    ) -> None:
        super().__init__(captioner, config)
        self.distillation, self.peak_rate = distillation, distillation.learning_rate
        self._teachers = tuple(teacher.eval().requires_grad_(False) for teacher in teachers)  # no submodules
        self.sample = CaptionSampler(
            self.decoder,
            special_tokens(captioner.vocabulary),
            samples=distillation.samples,
            max_length=distillation.max_length,
            temperature=1.0,
        )

    def forward(self, batch: CaptionBatch, step: int) -> StepLoss:
        """Mean divergence over the words of human and of sampled captions.

        Args:
            batch: with 1 + M views of each image, for the model and its M teachers.
            step: number of the training step.
        """
        views = batch.images.shape[:2]
        features = decoder_features(self.captioner, batch.images.flatten(0, 1)).unflatten(0, views)
        own, *of_teachers = _mixed(features, self.distillation.mixup).unbind(dim=1)
        sampled = self._sampled(own, batch.number, step)
        parts = [
            self._divergence(own, of_teachers, captions)
            for captions in ((batch.captions, batch.lengths, batch.image_index), sampled[:3])
        ]
        words = sum(count for _, count in parts)
        loss = torch.stack([divergence * (count / words) for divergence, count in parts]).sum()
        return StepLoss(loss * ddp_loss_scale(words), loss.detach(), words)

    def monitored(self, metrics: Mapping[str, float]) -> float:
        """The monitored metric: minus the CIDEr; of several datasets, minus their mean."""
        return -metrics["CIDEr"]

    def _sampled(self, features: Tensor, number: Tensor, step: int) -> SampledBatch:
        """Captions that the decoder samples for features (B, R, D) of the images `number` (B,)."""
        sampled = self.sample(features, number, (self.config.seed, step)).wait()
        return SampledBatch.of(sampled, self.sample.specials, features.device)

    def _divergence(
        self, own: Tensor, of_teachers: Sequence[Tensor], captions: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, int]:
        """Mean divergence over the words of captions, and their number.

        Args:
            own: (B, R, D) input features of the model.
            of_teachers: (B, R, D) input features of each teacher.
            captions: token ids (N, T), lengths (N,) and the image of each caption (N,).
        """
        hidden = self.decoder(own, *captions)
        weight, bias = self.decoder.embedding.weight, self.decoder.word_bias
        with torch.no_grad():
            teachers = [
                (teacher(seen, *captions), teacher.embedding.weight, teacher.word_bias)
                for teacher, seen in zip(self._teachers, of_teachers, strict=True)
            ]
        return linear_divergence(hidden, weight, bias, teachers), len(hidden)


def _mixed(features: Tensor, share: float) -> Tensor:
    """Features (B, V, R, D), a `share` of which are mixed with those of another image of the batch.

    At least half of a mixed image is the image itself.
    """
    images = len(features)
    own = 1 - 0.5 * torch.rand(images) * (torch.rand(images) < share)  # on the CPU: the same on each device
    own = to_device(own, features.device).to(features.dtype).view(-1, 1, 1, 1)
    return torch.lerp(features.roll(1, dims=0), features, own)


def distillation_images(train: CaptionDataset, teachers: int) -> CaptionDataset:
    """The training images with a view for the model and for each of its teachers."""
    images = copy.copy(train)
    images.load_image = multi_view(train.load_image, 1 + teachers)
    return images


def load_teachers(config: DistillationConfig, captioner: Captioner) -> list[RNNDecoder]:
    """The decoders of the models that teach `captioner`, on its device; none without epochs.

    Raises:
        CheckpointError: one of them cannot be loaded.
        UsageError: one of them has another encoder, image size or vocabulary.
    """
    if not config.epochs:
        return []
    teachers = []
    for name in config.teachers:
        model = Captioner.load(name)
        model.encoder.precision = captioner.encoder.precision
        for what, theirs, ours in (
            ("image size", model.encoder.transform.size, captioner.encoder.transform.size),
            ("encoder", model.encoder.fingerprint(), captioner.encoder.fingerprint()),
            ("vocabulary", model.vocabulary.words, captioner.vocabulary.words),
        ):
            if theirs != ours:
                raise UsageError(
                    f"--distillation.teachers {name}: its {what} is not that of the model that is trained;"
                    " train both on the same datasets with the same settings of data and encoder"
                )
        teachers.append(single_decoder(model.decoder).to(captioner.encoder.device))
    return teachers
