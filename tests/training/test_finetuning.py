"""Fine-tuning on random features: new words, what is kept, resuming."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from showtell.captioning.captioner import Captioner
from showtell.config import DecoderConfig, DecoderKind, SearchConfig
from showtell.data.dataset import CaptionDataset, CaptionLoader
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab
from showtell.decoder import RNNDecoder, make_decoder, packed_targets
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import ModelError
from showtell.training.finetuning import Retention
from showtell.training.fit import TrainingResult, fit
from showtell.training.initial import extended_captioner, place_new_words
from tests.conftest import make_tiny_encoder
from tests.training.test_fit import CONFIG, IMAGES, VOCABULARY, Features, losses

NEW = [
    replace(image, captions=tuple(text.replace("dog", "puppy") for text in image.captions))
    for image in IMAGES
]
WORDS = build_vocab([c for image in NEW for c in image.captions], 1).words


def initial_model(encoder: CNNEncoder, kind: DecoderKind = "topdown") -> Captioner:
    torch.manual_seed(1)
    decoder = make_decoder(
        DecoderConfig(kind=kind, embedding_dim=16, hidden_dim=16, attention_dim=16, dropout=0.1),
        vocab_size=len(VOCABULARY),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    with torch.no_grad():
        decoder.word_bias.normal_()
    return Captioner(encoder, decoder, VOCABULARY, "tiny")


def datasets(
    captioner: Captioner, images: list[CaptionedImage], fail_at: int | None = None
) -> list[CaptionDataset]:
    load = Features(captioner.encoder.grid_cells, captioner.encoder.feature_dim, fail_at)
    return [
        CaptionDataset([i for i in images if i.split == split], captioner.vocabulary, load)
        for split in ("train", "val")
    ]


def finetune(
    initial: Captioner,
    folder: Path,
    *,
    fail_at: int | None = None,
    distillation: float = 0.3,
    mixing: float = 0.8,
    **options: object,
) -> tuple[TrainingResult, Captioner]:
    teacher = initial.decoder
    assert isinstance(teacher, RNNDecoder)
    captioner = extended_captioner(initial, WORDS)
    train, _ = datasets(captioner, NEW)
    place_new_words(captioner, teacher, train)
    train, val = datasets(captioner, NEW, fail_at)
    retention = Retention(teacher.eval().requires_grad_(False), distillation, mixing)
    config = options.pop("config", CONFIG)
    result = fit(captioner, train, val, config, SearchConfig(), folder, retention=retention, **options)  # type: ignore[arg-type]
    return result, Captioner.load(str(folder), device=torch.device("cpu"))


@pytest.fixture(scope="module")
def trained() -> Captioner:
    """A model of the old words that has learned them, by plain steps of Adam."""
    model = initial_model(make_tiny_encoder())
    decoder = model.decoder
    assert isinstance(decoder, RNNDecoder)
    (batch,) = CaptionLoader(datasets(model, IMAGES)[0], batch_size=32, seed=0)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.02)
    for _ in range(150):
        hidden = decoder(batch.images, batch.captions, batch.lengths, batch.image_index)
        loss = F.cross_entropy(decoder.logits(hidden), packed_targets(batch.captions, batch.lengths))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5
    return model.eval()


@pytest.mark.parametrize("kind", ["topdown", "attention", "pooled"])
def test_known_words_keep_their_ids_and_logits(tiny_encoder: CNNEncoder, kind: DecoderKind) -> None:
    initial = initial_model(tiny_encoder, kind)
    extended = extended_captioner(initial, ["zebra", "dog", "kite"], dropout=0.5)
    assert extended.vocabulary.words == (*VOCABULARY.words, "zebra", "kite")
    assert extended.encoder is initial.encoder
    assert isinstance(extended.decoder, RNNDecoder)
    assert extended.decoder.config.dropout == 0.5
    features, tokens = torch.randn(2, 4, tiny_encoder.feature_dim), torch.tensor([[1], [5]])
    old, new = (
        model.eval().decoder.step(tokens, model.decoder.init_state(features)).logits
        for model in (initial, extended)
    )
    torch.testing.assert_close(new[..., : len(VOCABULARY)], old)


def test_an_ensemble_is_refused(tiny_encoder: CNNEncoder, tmp_path: Path) -> None:
    for name in ("a", "b"):
        initial_model(tiny_encoder).save(tmp_path / name)
    both = Captioner.load_ensemble([str(tmp_path / name) for name in ("a", "b")])
    with pytest.raises(ModelError, match="ensemble"):
        extended_captioner(both, ["zebra"])


@torch.no_grad()
def test_a_new_word_is_expected_as_often_as_it_comes_and_means_what_it_replaces(trained: Captioner) -> None:
    old = trained.decoder
    assert isinstance(old, RNNDecoder)
    before = copy.deepcopy(old.state_dict())
    extended = extended_captioner(trained, [*WORDS, "unused"])
    train, _ = datasets(extended, NEW)
    place_new_words(extended, old, train)
    decoder, vocabulary = extended.decoder, extended.vocabulary
    assert isinstance(decoder, RNNDecoder)
    weight, puppy = decoder.embedding.weight.detach(), vocabulary.id("puppy")
    assert all(torch.equal(old.state_dict()[name], before[name]) for name in before)
    likeness = F.cosine_similarity(weight[puppy], weight[4 : len(VOCABULARY)])
    assert vocabulary.word(4 + int(likeness.argmax())) == "dog"
    assert torch.isfinite(weight).all()
    assert torch.isfinite(decoder.word_bias).all()
    # independently, one caption at a time: what the old model expects, were the word among its own
    expected = comes = 0.0
    for image, captions in train:
        for caption in captions:
            state, known = old.init_state(image.float()[None]), caption.clone()
            known[known == puppy] = vocabulary.unk_id
            for token, following in zip(known, caption[1:].tolist(), strict=False):
                out = old.step(token.view(1, 1), state)
                # a new embedding is a mean of the old ones, so its logit is known without the hidden state
                shares = torch.linalg.lstsq(old.embedding.weight.T, weight[puppy]).solution
                logit = shares @ (out.logits[0, 0] - old.word_bias) + decoder.word_bias[puppy]
                expected += float((logit - out.logits[0, 0].logsumexp(0)).exp())
                comes += following == puppy
                state = out.state
    assert comes > 0
    assert expected == pytest.approx(comes, rel=0.02)


@torch.no_grad()
def distance(model: Captioner, teacher: Captioner) -> float:
    """Kullback-Leibler divergence of a model from its teacher, a word, over the old captions."""
    total = words = 0.0
    for image, captions in datasets(teacher, IMAGES)[0]:
        for caption in captions:
            states = [each.decoder.eval().init_state(image.float()[None]) for each in (teacher, model)]
            for token in caption[:-1]:
                outs = [
                    each.decoder.step(token.view(1, 1), state)
                    for each, state in zip((teacher, model), states, strict=True)
                ]
                before, now = (out.logits[0, 0].log_softmax(0) for out in outs)
                total += float(F.kl_div(now[: len(before)], before, reduction="sum", log_target=True))
                states, words = [out.state for out in outs], words + 1
    return total / words


def test_new_captions_are_learned_and_the_teacher_stays(trained: Captioner, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    result, model = finetune(trained, tmp_path, config=replace(CONFIG, epochs=6))
    assert "puppy" in model.vocabulary
    assert losses(result)[-1][1] < losses(result)[0][1]
    load = Features(model.encoder.grid_cells, model.encoder.feature_dim)
    features = torch.stack([load(image, None) for image in NEW[::4]]).to(model.encoder.dtype)
    said = [captions[0].text for captions in model.caption_features(features)]
    assert sum("puppy" in text for text in said) > len(said) / 2
    assert all(torch.equal(trained.state_dict()[name], before[name]) for name in before)


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
    place_new_words(start, trained.decoder, datasets(start, NEW)[0])  # type: ignore[arg-type]
    begin, end = start.decoder.state_dict(), models[1.0].decoder.state_dict()
    for name, mixed in models[0.25].decoder.state_dict().items():
        expected = torch.lerp(begin[name], end[name], 0.25)
        torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fail_at", [32 + 8 + 3, 2 * (32 + 8) + 17])
@pytest.mark.usefixtures("on_cpu")
def test_a_resumed_run_ends_the_same(trained: Captioner, tmp_path: Path, fail_at: int) -> None:
    whole, theirs = finetune(trained, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        finetune(trained, tmp_path / "killed", fail_at=fail_at, config=replace(CONFIG, checkpoint_minutes=0))
    resumed, ours = finetune(trained, tmp_path / "killed", resume=True)
    assert losses(resumed) == losses(whole)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
