"""What computes gives the same on each device at hand as on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from showtell.captioning.base import special_tokens
from showtell.captioning.captioner import Captioner
from showtell.config import (
    Cell,
    DecoderKind,
    DistillationConfig,
    SearchConfig,
    SelfCriticalConfig,
    TrainingConfig,
)
from showtell.data.dataset import CaptionDataset, collate_fn
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab
from showtell.decoder import RNNDecoder, as_search_step, make_decoder, packed_targets
from showtell.decoder.base import LockedDropout
from showtell.decoder.tensor_search import TensorBeamSearch
from showtell.encoder.cnn import CNNEncoder
from showtell.features.encoding import ExtractionReport
from showtell.features.store import FeatureStore
from showtell.features.table import FeatureTable
from showtell.search import search
from showtell.training.fit import fit
from showtell.training.losses import linear_cross_entropy
from tests.conftest import tiny_decoder_config

TEXTS = ["a dog runs", "the big dog sleeps here", "a cat", "two boats on the water", "a boat"]
VOCABULARY = build_vocab(TEXTS, 1)
DECODERS: list[tuple[DecoderKind, Cell]] = [
    ("topdown", "lstm"),
    ("topdown", "gru"),
    ("attention", "lstm"),
    ("pooled", "gru"),
]


def decoder_of(kind: DecoderKind, cell: Cell) -> RNNDecoder:
    torch.manual_seed(0)
    config = tiny_decoder_config(16, kind=kind, cell=cell, dropout=0.3)
    decoder = make_decoder(config, vocab_size=len(VOCABULARY), feature_dim=128, grid_cells=4)
    torch.nn.init.normal_(decoder.word_bias)
    return decoder


@contextmanager
def exact_products() -> Iterator[None]:
    """No TF32, which rounds the factors of products."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize(("kind", "cell"), DECODERS)
def test_loss_and_gradients_are_those_of_the_cpu(device: torch.device, kind: DecoderKind, cell: Cell) -> None:
    reference = decoder_of(kind, cell)
    decoder = copy.deepcopy(reference).to(device)
    items = [
        (torch.randn(4, 128), [torch.tensor(VOCABULARY.encode(text, None)) for text in TEXTS[i : i + 2]])
        for i in range(4)
    ]
    batch = collate_fn(items)
    for made, where in ((reference, torch.device("cpu")), (decoder, device)):
        for module in made.modules():
            if isinstance(module, LockedDropout):
                module.probability = 0.0
        moved = batch.to(where)
        with exact_products():
            hidden = made(moved.images, moved.captions, moved.lengths, moved.image_index)
            targets = packed_targets(moved.captions, moved.lengths)
            linear_cross_entropy(hidden, made.embedding.weight, made.word_bias, targets, 0.1).backward()
    expected = F.cross_entropy(decoder.logits(hidden), targets, label_smoothing=0.1)
    ours = linear_cross_entropy(hidden, decoder.embedding.weight, decoder.word_bias, targets, 0.1)
    torch.testing.assert_close(ours, expected)
    for (name, parameter), theirs in zip(decoder.named_parameters(), reference.parameters(), strict=True):
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad.cpu(), theirs.grad, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize(("kind", "cell"), DECODERS)
@pytest.mark.parametrize(
    "config",
    [SearchConfig(), SearchConfig(beam_size=1), SearchConfig(beam_size=5, num_captions=3, min_length=4)],
)
def test_captions_are_those_of_the_search_over_arrays(
    device: torch.device, kind: DecoderKind, cell: Cell, config: SearchConfig
) -> None:
    decoder = decoder_of(kind, cell).eval()
    features = torch.randn(40, 4, 128, generator=torch.Generator().manual_seed(1))
    specials = special_tokens(VOCABULARY)
    with torch.inference_mode(), exact_products():
        state = decoder.init_state(features)
        expected = search(as_search_step(decoder.step, specials.eos), state, specials, config, attention=True)
        moved = copy.deepcopy(decoder).to(device)
        beams = TensorBeamSearch(moved.step, specials, config, decoder.has_attention)
        found = beams.run(moved.init_state(features.to(device)))
    assert [[h.tokens for h in one] for one in found] == [[h.tokens for h in one] for one in expected]
    for ours, theirs in zip(chain(*found), chain(*expected), strict=True):
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)
        assert ours.token_log_probs == pytest.approx(theirs.token_log_probs, abs=1e-3)
        if decoder.has_attention and len(ours.tokens):
            np.testing.assert_allclose(ours.attention, theirs.attention, atol=1e-3)


@pytest.mark.parametrize("block_ngram", [0, 2, 3])
def test_a_search_that_does_not_wait_finds_the_same(device: torch.device, block_ngram: int) -> None:
    decoder = decoder_of("topdown", "lstm").eval().to(device)
    features = torch.randn(9, 4, 128, generator=torch.Generator().manual_seed(2)).to(device)
    config = SearchConfig(block_ngram=block_ngram, max_length=9)
    with torch.inference_mode():
        beams = TensorBeamSearch(decoder.step, special_tokens(VOCABULARY), config, attention=False)
        expected = beams.run(decoder.init_state(features))
        found = beams.tensors(decoder.init_state(features), wait=False).hypotheses(1, 5)
    assert [[h.tokens for h in one] for one in found] == [[h.tokens for h in one] for one in expected[:5]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs are for CUDA GPUs")
def test_recorded_searches_find_the_same(tiny_encoder: CNNEncoder) -> None:
    captioner = Captioner(tiny_encoder, decoder_of("topdown", "lstm"), VOCABULARY, "tiny").to("cuda").eval()
    random = torch.Generator().manual_seed(3)
    for change in range(2):  # other weights have other graphs
        for images in (5, 5, 8, 3, 3):
            features = torch.randn(images, 4, 128, generator=random).to("cuda", torch.bfloat16)
            found = captioner.generate(features, SearchConfig())
            with torch.inference_mode():
                low = copy.deepcopy(captioner.decoder).bfloat16()
                beams = TensorBeamSearch(
                    low.step, special_tokens(VOCABULARY), SearchConfig(), attention=False
                )
                expected = beams.run(low.init_state(features))
            assert [h[0].tokens for h in found] == [h[0].tokens for h in expected], (change, images)
        with torch.no_grad():
            for parameter in captioner.decoder.parameters():
                parameter.mul_(1.3)


def test_features_are_those_of_the_cpu(
    tmp_path: Path, device: torch.device, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    expected = tiny_encoder.encode_pixels([tiny_encoder.transform.pixels(path) for path in snippets])
    encoder = copy.deepcopy(tiny_encoder).to(device)
    store = FeatureStore(tmp_path, encoder)
    with exact_products():
        store.extract([(path, "full") for path in snippets])
        table = FeatureTable.compute(
            encoder, [(path, "full") for path in snippets], ("full",), ExtractionReport(), skip_bad=False
        )
    assert table.features.device.type == device.type
    stored = torch.stack([torch.from_numpy(store[store.row(path)]) for path in snippets])
    scale = float(expected.abs().max())
    torch.testing.assert_close(stored.float(), expected, rtol=1e-2, atol=2e-3 * scale)
    torch.testing.assert_close(table.features.cpu().float(), expected, rtol=2e-3, atol=1e-3 * scale)


def test_all_stages_train(
    tmp_path: Path,
    device: torch.device,
    tiny_encoder: CNNEncoder,
    snippets: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOWTELL_DEVICE", device.type)
    images = [
        CaptionedImage(path, (TEXTS[n % 5], TEXTS[(n + 1) % 5]), "train", str(n))
        for n, path in enumerate(snippets)
    ]
    encoder = tiny_encoder.to(device)
    wanted = [(image.path, "full") for image in images]
    table = FeatureTable.compute(encoder, wanted, ("full",), ExtractionReport(), skip_bad=False)
    captioner = Captioner(encoder, decoder_of("topdown", "lstm"), VOCABULARY, "tiny").to(device)
    train = CaptionDataset(images[:32], VOCABULARY, table)
    val = CaptionDataset(images[32:], VOCABULARY, table)
    result = fit(
        captioner,
        train,
        val,
        TrainingConfig(epochs=3, batch_size=8, learning_rate=5e-3),
        SearchConfig(max_length=6),
        tmp_path,
        self_critical=SelfCriticalConfig(epochs=1, samples=3, max_length=6),
        distillation=DistillationConfig(["a", "b"], epochs=1, samples=3, max_length=6),
        teachers=[decoder_of(kind, "lstm").to(device) for kind in ("topdown", "attention")],
    )
    losses = [row["train_loss"] for row in result.epochs if "train_loss" in row]
    assert losses[-1] < losses[0]
    assert 0 <= result.epochs[-2]["reward"] <= 10
    assert result.epochs[-1]["divergence"] > 0
