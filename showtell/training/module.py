"""What a training step and a validation step do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from showtell.captioner import Captioner, find_captions
from showtell.config import SearchConfig, TrainingConfig
from showtell.data.dataset import CaptionBatch, CaptionLoader
from showtell.data.text import detokenize
from showtell.decoder import RNNDecoder, packed_targets
from showtell.errors import CheckpointError
from showtell.evaluation.metrics import describe_captions, score_captions
from showtell.training.distributed import gathered, interleaved, of_first, processes, total
from showtell.training.losses import linear_cross_entropy


@dataclass
class MeanLoss:
    """A mean over words."""

    total: float = 0.0
    words: int = 0

    def add(self, loss: float, words: int) -> None:
        """Add the mean loss of some words."""
        self.total += loss * words
        self.words += words

    def sums(self) -> tuple[float, int]:
        """Loss and words of all processes; each has to ask."""
        loss, words = total(self.total, self.words)
        return loss, int(words)

    def mean(self) -> float:
        """Over the words of all processes, each of which has to ask; NaN before the first word."""
        loss, words = self.sums()
        return loss / words if words else math.nan

    def reset(self) -> None:
        """Forget."""
        self.total, self.words = 0.0, 0


class CaptionModule(LightningModule):
    """Trains the decoder of a captioner; the encoder is used, never changed and never checkpointed.

    Args:
        captioner: the whole model.
        config: the optimisation.
        search: how captions are found in validation.
        references: of the validation images, in the order of their loader: (id, captions).
        loader: of the training batches; its place in the epoch is part of the checkpoint.
    """

    stage = "cross-entropy"
    train_metric = "train_loss"

    def __init__(
        self,
        captioner: Captioner,
        config: TrainingConfig,
        search: SearchConfig,
        references: list[tuple[str, tuple[str, ...]]],
        loader: CaptionLoader,
    ) -> None:
        super().__init__()
        assert isinstance(captioner.decoder, RNNDecoder)  # an ensemble is trained member by member
        self.decoder = captioner.decoder
        self.config, self.search, self.references = config, search, references
        self.loader = loader
        self._captioner = [captioner]  # in a list: not a submodule, so the encoder stays out of checkpoints
        self.predictions: list[str] = []
        self.train_loss, self.val_loss = MeanLoss(), MeanLoss()

    @property
    def captioner(self) -> Captioner:
        """The whole model."""
        return self._captioner[0]

    def objective(self, metrics: dict[str, float]) -> float:
        """What is to be lowered on the validation images: their loss."""
        return metrics["val_loss"]

    def loss(self, batch: CaptionBatch, label_smoothing: float) -> tuple[Tensor, int]:
        """Mean loss of a batch's next words, and their number."""
        targets = packed_targets(batch.captions, batch.lengths.cpu())
        hidden = self.decoder(
            self.captioner.features(batch.images), batch.captions, batch.lengths.cpu(), batch.image_index
        )
        loss = linear_cross_entropy(
            hidden, self.decoder.embedding.weight, self.decoder.word_bias, targets, label_smoothing
        )
        return loss, len(targets)

    def on_train_epoch_start(self) -> None:
        """Tell the loader which epoch it is, and start counting; not called where an epoch is resumed."""
        self.train_loss.reset()
        self.loader.epochs.epoch = self.current_epoch

    def on_train_batch_start(self, batch: CaptionBatch, batch_idx: int) -> None:
        """Seed dropout by the step, so that a resumed run drops what an uninterrupted one drops."""
        torch.manual_seed((processes().rank * 1_000_033 + self.config.seed) * 1_000_003 + self.global_step)

    def training_step(self, batch: CaptionBatch, batch_idx: int) -> Tensor:
        """Loss of a batch, with label smoothing."""
        loss, words = self.loss(batch, self.config.label_smoothing)
        self.train_loss.add(float(loss.detach()), words)
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
        if processes().is_first:
            self.train_loss.total, self.train_loss.words = kept["train_loss"]

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.predictions = []
        self.val_loss.reset()

    def validation_step(self, batch: CaptionBatch, batch_idx: int) -> None:
        """Add the loss and the captions of a batch."""
        loss, words = self.loss(batch, 0.0)
        self.val_loss.add(float(loss), words)
        texts = caption_texts(self.captioner, self.captioner.features(batch.images), self.search)
        self.predictions.extend(texts[row] for row in batch.order.argsort().tolist())

    def on_validation_epoch_end(self) -> None:
        """Log the mean loss a word, and the scores of the captions."""
        self.log("val_loss", self.val_loss.mean())
        said = interleaved(gathered(self.predictions))
        if len(said) == len(self.references):  # not in Lightning's sanity check
            for name, score in of_first(self._scores(said) if processes().is_first else {}).items():
                self.log(name, score)

    def _scores(self, said: list[str]) -> dict[str, float]:
        predictions = {image: text for (image, _), text in zip(self.references, said, strict=True)}
        return score_captions(predictions, dict(self.references)) | describe_captions(said)

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


def share(items: int) -> float:
    """What the mean over our items of a batch is multiplied by.

    Gradients are averaged over the processes; with this factor that is the mean over all items.
    """
    (everything,) = total(items)
    return items * processes().count / everything


def caption_texts(captioner: Captioner, features: Tensor, search: SearchConfig) -> list[str]:
    """The best caption of each image, as text."""
    found = find_captions(captioner.decoder, captioner.vocabulary, features, search)
    return [detokenize(captioner.vocabulary.decode(hypotheses[0].tokens)) for hypotheses in found]
