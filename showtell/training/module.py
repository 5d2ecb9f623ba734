"""The training step and the validation step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from showtell.captioning.captioner import Captioner, generate_captions
from showtell.config import SearchConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionLoader
from showtell.data.records import CaptionedImage
from showtell.data.tokenizer import detokenize
from showtell.decoder import RNNDecoder, packed_targets
from showtell.decoder.base import Packing
from showtell.errors import CheckpointError
from showtell.evaluation.validation import describe_captions, score_captions
from showtell.training.distributed import (
    all_gather_object,
    broadcast_object,
    interleave_shards,
    processes,
    total,
)
from showtell.training.losses import linear_cross_entropy
from showtell.utils.devices import to_device


@dataclass
class MeanLoss:
    """A mean over words, summed where the losses are: reading it waits for a GPU, adding to it does not."""

    total: float | Tensor = 0.0
    words: float = 0.0

    def add(self, loss: float | Tensor, words: float) -> None:
        """Add the mean loss (a number or a scalar tensor) of some words (or the sum of their weights)."""
        if isinstance(loss, Tensor):
            loss = loss.detach().double() if loss.device.type != "mps" else loss.detach()
        self.total = self.total + loss * words
        self.words += words

    def sums(self) -> tuple[float, float]:
        """Loss and words of all processes; each has to ask."""
        loss, words = total(float(self.total), self.words)
        return loss, words

    def mean(self) -> float:
        """Over the words of all processes, each of which has to ask; NaN before the first word."""
        loss, words = self.sums()
        return loss / words if words else math.nan

    def reset(self) -> None:
        """Start a new mean."""
        self.total, self.words = 0.0, 0.0


class CaptionModule(LightningModule):
    """Trains the decoder of a captioner; the encoder is used, never changed and never checkpointed.

    Args:
        captioner: the whole model.
        config: the optimisation.
        search: how captions are found in validation.
        val_images: the validation images, in the order of their loader.
        loader: of the training batches; its place in the epoch is part of the checkpoint.
    """

    stage = "cross-entropy"
    train_metric = "train_loss"

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        search: SearchConfig,
        val_images: Sequence[CaptionedImage],
        loader: CaptionLoader,
    ) -> None:
        super().__init__()
        assert isinstance(captioner.decoder, RNNDecoder)  # an ensemble is trained member by member
        self.decoder = captioner.decoder
        self.config, self.search, self.val_images = config, search, val_images
        self.loader = loader
        self.datasets = list(dict.fromkeys(image.dataset for image in val_images))
        self._captioner = [captioner]  # in a list: not a submodule, so the encoder stays out of checkpoints
        self.predictions: list[str] = []
        self.train_loss = MeanLoss()
        self.val_losses = {dataset: MeanLoss() for dataset in self.datasets}

    @property
    def captioner(self) -> Captioner:
        """The whole model."""
        return self._captioner[0]

    def objective(self, metrics: dict[str, float]) -> float:
        """The monitored metric: the validation loss; of several datasets, the mean of their losses."""
        return metrics["val_loss"]

    def loss(
        self, batch: CaptionBatch, label_smoothing: float, caption_weights: Tensor | None = None
    ) -> tuple[Tensor, float]:
        """Mean loss of a batch's next words, and their number.

        Args:
            batch: the batch.
            label_smoothing: share of the probability that the target spreads over all words.
            caption_weights: (N,) weight of each caption, on the CPU; None for 1.

        Returns:
            The mean, weighted by the words' captions, and the sum of the weights of all words.
        """
        hidden, targets = self.hidden_states(batch)
        return self.loss_of(batch, hidden, targets, label_smoothing, caption_weights)

    def hidden_states(self, batch: CaptionBatch) -> tuple[Tensor, Tensor]:
        """Hidden states (P, E) before each next token, and these tokens (P,), in packed order."""
        features = self.captioner.features(batch.images)
        hidden = self.decoder(features, batch.captions, batch.lengths, batch.image_index)
        return hidden, packed_targets(batch.captions, batch.lengths)

    def loss_of(
        self,
        batch: CaptionBatch,
        hidden: Tensor,
        targets: Tensor,
        label_smoothing: float,
        caption_weights: Tensor | None,
    ) -> tuple[Tensor, float]:
        """See `loss`; of what `hidden_states` gave."""
        word_weights, words = None, float(len(targets))
        if caption_weights is not None:
            rows = Packing.of(batch.lengths - 1, torch.device("cpu")).sequence  # (P,)
            of_words = caption_weights[rows]
            words = float(of_words.sum())
            word_weights = to_device(of_words * (len(targets) / max(words, 1e-9)), targets.device)
        loss = linear_cross_entropy(
            hidden,
            self.decoder.embedding.weight,
            self.decoder.word_bias,
            targets,
            label_smoothing,
            word_weights,
        )
        return loss, words

    def caption_weights(self, batch: CaptionBatch) -> Tensor | None:
        """Weights (N,) in the loss of a training batch's captions, on the CPU; None where all weigh 1."""
        table = self.loader.captions.caption_weights
        return None if table is None else table[batch.number[batch.image_index], batch.caption_index]

    def on_train_epoch_start(self) -> None:
        """Tell the loader which epoch it is, and start counting; not called where an epoch is resumed."""
        self.train_loss.reset()
        self.loader.epochs.epoch = self.current_epoch

    def on_train_batch_start(self, batch: CaptionBatch, batch_idx: int) -> None:
        """Seed dropout by the step, so that a resumed run drops what an uninterrupted one drops."""
        torch.manual_seed((processes().rank * 1_000_033 + self.config.seed) * 1_000_003 + self.global_step)

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:
        """Loss of a batch, with label smoothing."""
        loss, words = self.loss(batch, self.config.label_smoothing, self.caption_weights(batch))
        self.train_loss.add(loss, words)
        return loss * share(words)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient's norm (Lightning's own clipping refuses fused optimizers)."""
        if self.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), self.config.gradient_clip)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the place in the epoch, what has been counted of it, and the words."""
        checkpoint["showtell"] = {
            "stage": self.stage,
            "loader": self.loader.state_dict(),
            "train_loss": self.train_loss.sums(),
            "vocabulary": self.captioner.vocabulary.fingerprint,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            CheckpointError: the checkpoint is of another vocabulary.
        """
        kept = checkpoint.get("showtell", {})
        if kept.get("vocabulary") != self.captioner.vocabulary.fingerprint:
            raise CheckpointError(
                "the checkpoint was made with another vocabulary (other data, split or data.min_count); "
                "resume with the settings of that run, or start a new one"
            )
        self.loader.load_state_dict(kept["loader"])
        self.train_loss.reset()
        if processes().is_rank_zero:
            self.train_loss.total, self.train_loss.words = kept["train_loss"]

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.predictions = []
        for loss in self.val_losses.values():
            loss.reset()

    def validation_step(self, batch: CaptionBatch, batch_idx: int) -> None:
        """Add the loss and the captions of a batch."""
        of_image = [self.val_images[number].dataset for number in batch.number.tolist()]
        of_caption = [of_image[row] for row in batch.image_index.tolist()]
        for dataset in dict.fromkeys(of_image):
            chosen = torch.tensor([name == dataset for name in of_caption])
            loss, words = self.loss(batch, 0.0, None if bool(chosen.all()) else chosen.float())
            self.val_losses[dataset].add(loss, words)
        texts = caption_texts(self.captioner, self.captioner.features(batch.images), self.search)
        self.predictions.extend(texts[row] for row in batch.order.argsort().tolist())

    def on_validation_epoch_end(self) -> None:
        """Log the loss a word and the scores of the captions: of each dataset, and their means."""
        losses = {dataset: {"val_loss": loss.mean()} for dataset, loss in self.val_losses.items()}
        self.log_dict(with_means(losses))
        said = interleave_shards(all_gather_object(self.predictions))
        if len(said) == len(self.val_images):  # not in Lightning's sanity check
            self.log_dict(broadcast_object(self._scores(said) if processes().is_rank_zero else {}))

    def _scores(self, said: list[str]) -> dict[str, float]:
        scores = {}
        for dataset in self.datasets:
            chosen = [
                (i, text) for i, text in zip(self.val_images, said, strict=True) if i.dataset == dataset
            ]
            predictions = {image.image_id: text for image, text in chosen}
            scores[dataset] = score_captions(
                predictions, {image.image_id: image.captions for image, _ in chosen}
            )
        return with_means(scores) | describe_captions(said) | {"different": float(len(set(said)))}

    def configure_optimizers(self) -> Any:
        """AdamW (Loshchilov & Hutter 2019); the rate rises linearly, then falls to zero by a cosine."""
        total = int(self.trainer.estimated_stepping_batches)
        warmup = max(1, round(self.config.warmup * total))

        def factor(step: int) -> float:
            rising = (step + 1) / (warmup + 1)
            falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
            return min(rising, falling)

        return self._adamw(self.config.learning_rate, factor)

    def _adamw(self, learning_rate: float, factor: Callable[[int], float]) -> Any:
        """AdamW whose rate is `learning_rate` times `factor` of the step; only matrices decay."""
        matrices = [p for p in self.decoder.parameters() if p.dim() > 1]
        others = [p for p in self.decoder.parameters() if p.dim() <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def with_means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The means of several datasets' values, each under its name, and the values under `name/dataset`.

    Args:
        values: of each dataset, values by name; of a single dataset they are the means.
    """
    names = next(iter(values.values()))
    means = {name: sum(of[name] for of in values.values()) / len(values) for name in names}
    if len(values) == 1:
        return means
    return means | {f"{name}/{dataset}": of[name] for dataset, of in values.items() for name in names}


def share(items: float) -> float:
    """Factor that turns this rank's mean loss into its part of the global mean after DDP averages gradients.

    Gradients are averaged over the processes; with this factor that is the mean over all items.
    """
    (everything,) = total(items)
    return items * processes().count / everything if everything else 0.0


def caption_texts(captioner: Captioner, features: Tensor, search: SearchConfig) -> list[str]:
    """The best caption of each image, as text."""
    found = generate_captions(captioner.decoder, captioner.vocabulary, features, search)
    return [detokenize(captioner.vocabulary.decode(hypotheses[0].tokens)) for hypotheses in found]
