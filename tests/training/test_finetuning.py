"""Fine-tuning on random features: new words, what is kept of the initial model, resuming."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.config import DEVICE_VARIABLE, SearchConfig, TrainingConfig
from showtell.data.dataset import CaptionLoader
from showtell.decoder import RNNDecoder, single_decoder
from showtell.errors import CheckpointError
from showtell.training import history
from showtell.training.finetuning import Retention
from showtell.training.fit import TrainingResult, fit
from showtell.training.vocabulary_extension import extended_captioner, init_new_word_embeddings
from tests.training.toy import CONFIG, IMAGES, NEW, PER_EPOCH, WORDS, Features, datasets, losses

Finetuned = tuple[TrainingResult, Captioner]


def finetune(
    initial: Captioner,
    folder: Path,
    *,
    fail_at: int | None = None,
    distillation: float = 0.3,
    mixing: float = 0.8,
    config: TrainingConfig = CONFIG,
    **options: Any,
) -> Finetuned:
    teacher = initial.decoder
    assert isinstance(teacher, RNNDecoder)
    captioner = extended_captioner(initial, WORDS)
    init_new_word_embeddings(captioner, teacher, datasets(captioner, NEW)[0])
    train, val = datasets(captioner, NEW, fail_at)
    retention = Retention(teacher.eval().requires_grad_(False), distillation, mixing)
    options |= {"retention": retention, "calibrate": False}
    result = fit(captioner, train, val, config, SearchConfig(), folder, **options)
    return result, Captioner.load(str(folder), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def finetuned(trained: Captioner, tmp_path_factory: pytest.TempPathFactory) -> Finetuned:
    """A run that was never interrupted, on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DEVICE_VARIABLE, "cpu")
        patch.setattr(history, "plot_lines", lambda *_, **__: None)
        return finetune(trained, tmp_path_factory.mktemp("finetuned"))


def test_new_captions_are_learned(finetuned: Finetuned) -> None:
    result, model = finetuned
    assert "puppy" in model.vocabulary
    assert losses(result)[-1][1] < losses(result)[0][1]
    load = Features(model.encoder.grid_cells, model.encoder.feature_dim)
    features = torch.stack([load(image, None) for image in NEW[::4]]).to(model.encoder.dtype)
    texts = [captions[0].text for captions in model.caption_features(features)]
    assert sum("puppy" in text for text in texts) > len(texts) / 2


@pytest.mark.usefixtures("on_cpu")
def test_a_run_whose_initial_model_has_changed_is_not_resumed(trained: Captioner, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        finetune(trained, tmp_path, fail_at=PER_EPOCH + 3, config=replace(CONFIG, checkpoint_minutes=0))
    other = copy.deepcopy(trained)
    with torch.no_grad():
        next(other.decoder.parameters()).mul_(0.5)
    with pytest.raises(CheckpointError, match="the model that this run started from has changed"):
        finetune(other, tmp_path, resume=True)
    finetune(trained, tmp_path, resume=True)


def test_the_teacher_stays_as_it_was(trained: Captioner, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    finetune(trained, tmp_path, config=replace(CONFIG, epochs=1))
    assert all(torch.equal(trained.state_dict()[name], before[name]) for name in before)


@torch.no_grad()
def distance(model: Captioner, teacher: Captioner) -> float:
    """Kullback-Leibler divergence of a model from its teacher, a word, over the old captions."""
    (batch,) = CaptionLoader(datasets(teacher, IMAGES)[0], batch_size=32, seed=0)
    parts = batch.images, batch.captions, batch.lengths, batch.image_index
    decoders = [single_decoder(each.decoder).eval() for each in (teacher, model)]
    before, now = (decoder.logits(decoder(*parts)).log_softmax(1) for decoder in decoders)
    known = before.shape[1]
    return float(F.kl_div(now[:, :known], before, reduction="batchmean", log_target=True))


def test_distillation_keeps_the_model_near_its_teacher(trained: Captioner, tmp_path: Path) -> None:
    free, held = (
        distance(finetune(trained, tmp_path / str(share), distillation=share, mixing=1.0)[1], trained)
        for share in (0.0, 0.9)
    )
    assert held < free


def test_the_mixed_weights_are_saved(trained: Captioner, tmp_path: Path) -> None:
    one = replace(CONFIG, epochs=1)
    models = {m: finetune(trained, tmp_path / str(m), config=one, mixing=m)[1] for m in (0.25, 1.0)}
    start = extended_captioner(trained, WORDS)
    init_new_word_embeddings(start, single_decoder(trained.decoder), datasets(start, NEW)[0])
    begin, end = start.decoder.state_dict(), models[1.0].decoder.state_dict()
    for name, mixed in models[0.25].decoder.state_dict().items():
        expected = torch.lerp(begin[name], end[name], 0.25)
        torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fail_at", [PER_EPOCH + 3, 2 * PER_EPOCH + 17])
@pytest.mark.usefixtures("on_cpu")
def test_a_resumed_run_ends_the_same(
    finetuned: Finetuned, trained: Captioner, tmp_path: Path, fail_at: int
) -> None:
    whole, theirs = finetuned
    with pytest.raises(RuntimeError, match="killed"):
        finetune(trained, tmp_path, fail_at=fail_at, config=replace(CONFIG, checkpoint_minutes=0))
    resumed, ours = finetune(trained, tmp_path, resume=True)
    assert losses(resumed) == losses(whole)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
