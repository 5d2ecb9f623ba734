"""What every captioning model does with images: one or many, in any form, and in a stream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from showtell.captioning import base
from showtell.captioning.base import CaptioningModel, Pixels, special_tokens
from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.config import SearchConfig
from showtell.data.transforms import ImageTransform
from showtell.data.vocabulary import build_vocab
from showtell.errors import ImageError, UsageError
from showtell.search import Hypothesis
from tests.commands.test_caption import save_model

VOCABULARY = build_vocab(["a dog runs", "the cat sleeps"], 1)


class Brightness(CaptioningModel):
    """A model of three words, chosen by how bright the image is; it records its batches."""

    calibration = None
    summary = "no decoder"
    runs_on = "paper"
    has_attention = True
    transform = ImageTransform(64)

    def __init__(self) -> None:
        self.vocabulary = VOCABULARY
        self.batches: list[int] = []

    def fingerprint(self) -> str:
        return "0"

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Any:
        self.batches.append(len(pixels))
        return np.array([each.mean() for each in pixels])

    def generate(
        self, features: Any, config: SearchConfig, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        first, seen = VOCABULARY.id("a"), np.eye(4, dtype=np.float32)[:2] if attention else None
        nouns = [VOCABULARY.id("dog" if bright > 128 else "cat") for bright in features]
        return [[Hypothesis((first, noun), (-0.5, -1.0, -0.25), -1.75, seen)] for noun in nouns]


def grey(value: int) -> Pixels:
    return np.full((70, 70, 3), value, np.uint8)


def test_batches_grow_so_that_the_first_captions_come_soon() -> None:
    model = Brightness()
    values = [10 * n for n in range(26)]
    results = list(model.caption_stream(values, open_source=lambda v: Image.fromarray(grey(v)), batch_size=9))
    assert model.batches == [1, 4, 9, 9, 3]
    assert [done.source for done in results] == values
    texts = [done.captions[0].text for done in results]
    assert texts == ["a cat"] * 13 + ["a dog"] * 13


def test_free_memory_is_returned_after_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(base, "TRIM_EVERY_IMAGES", 10)
    monkeypatch.setattr(base, "malloc_trim", lambda: calls.append(1))
    image = Image.fromarray(grey(0))
    list(Brightness().caption_stream(range(25), open_source=lambda _: image, batch_size=5))
    assert len(calls) == 2


def test_attention_is_a_map_a_word() -> None:
    caption = Brightness()(grey(0), attention=True)
    assert caption.attention is not None
    assert caption.attention.tolist() == [[[1, 0], [0, 0]], [[0, 1], [0, 0]]]
    assert Brightness()(grey(0)).attention is None


def test_confidence_is_for_captions_that_were_not_drawn() -> None:
    model = Brightness()
    assert model(grey(0)).confidence is None
    model.calibration = Calibration((0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0, -1.0), doubtful=0.75)
    caption = model(grey(0))
    assert caption.confidence == pytest.approx(1 / (1 + np.exp(-1)))
    assert caption.word_confidences == pytest.approx([1 / (1 + np.exp(1))] * 2)
    assert caption.doubtful
    assert model(grey(0), sample=True).confidence is None


def test_it_describes_itself() -> None:
    model = Brightness()
    described = f"no decoder, {len(VOCABULARY)} words, image size 64, paper)"
    assert repr(model) == f"Brightness({described}"
    model.name = "mine"
    assert repr(model) == f"Brightness('mine', {described}"


def test_special_tokens_are_never_words_of_a_caption() -> None:
    specials = special_tokens(VOCABULARY)
    words = [VOCABULARY.word(token) for token in (specials.bos, specials.eos, *specials.banned)]
    assert words == ["<start>", "<end>", "<pad>", "<start>", "<unk>"]


def test_a_photo_in_every_form_gets_the_same_caption(
    tiny_captioner: Captioner, photos: list[Path], tmp_path: Path
) -> None:
    image = Image.open(photos[0])
    pixels = np.asarray(image)
    path = tmp_path / "photo.png"  # large JPEG files are decoded at a smaller scale
    image.save(path)
    forms = [
        str(path),
        path,
        path.read_bytes(),
        image,
        pixels,
        pixels / 255,
        torch.from_numpy(pixels.copy()).permute(2, 0, 1),
    ]
    one = tiny_captioner(path)
    assert one.text == tiny_captioner.caption([path])[0][0].text
    assert {caption.text for caption in tiny_captioner(forms)} == {one.text}
    assert tiny_captioner(iter(photos)) == tiny_captioner(photos)
    assert tiny_captioner([]) == []


def test_search_settings_are_keywords(tiny_captioner: Captioner, photos: list[Path]) -> None:
    five = tiny_captioner(photos[0], num_captions=5)
    assert [caption.text for caption in five] == [
        caption.text
        for caption in tiny_captioner.caption([photos[0]], SearchConfig(beam_size=5, num_captions=5))[0]
    ]
    assert [len(some) for some in tiny_captioner(photos[:2], num_captions=1)] == [1, 1]
    short = tiny_captioner(photos[0], beam_size=1, max_length=2)
    assert len(short.words) <= 2
    sampled = [tiny_captioner(photos[0], sample=True, temperature=2.0, seed=seed).text for seed in range(4)]
    assert len(set(sampled)) > 1
    assert tiny_captioner(photos[0], temperature=1.0) == tiny_captioner(photos[0])  # its default
    assert tiny_captioner(photos[0], attention=True).attention is not None


@pytest.mark.parametrize(
    ("images", "keywords", "reason"),
    [
        ("a.jpg", {"beams": 5}, "no argument 'beams'; did you mean 'beam_size'"),
        ("a.jpg", {"num_caption": 5}, "did you mean 'num_captions'"),
        ("a.jpg", {"beam_size": "5"}, "beam_size is '5'; it takes a whole number"),
        ("a.jpg", {"beam_size": True}, "it takes a whole number"),
        ("a.jpg", {"sample": 1}, "it takes True or False"),
        ("a.jpg", {"beam_size": 0}, "^beam_size must be at least 1"),
        ("a.jpg", {"top_k": 5}, "^top_k has no effect without sample"),
        ("a.jpg", {"batch_size": 0}, "batch_size is 0"),
        ("a.jpg", {"batch_size": True}, "batch_size is True"),
        ("a.jpg", {"batch_size": 2.0}, "batch_size is 2.0"),
        ("http://a.org/a.jpg", {}, "is a URL"),
        (["a.jpg", 5], {}, r"images\[1\]: is of type int"),
        ({"a": 1}, {}, "of type dict"),
        (5, {}, "of type int"),
    ],
)
def test_misuse_gets_one_line(
    tiny_captioner: Captioner, photos: list[Path], images: object, keywords: dict[str, object], reason: str
) -> None:
    if isinstance(images, list):
        images = [photos[0], *images[1:]]
    with pytest.raises(UsageError, match=reason) as raised:
        tiny_captioner(images, **keywords)  # type: ignore[call-overload]
    assert "\n" not in str(raised.value)


def test_attention_of_a_model_without_is_refused(tmp_path: Path) -> None:
    pooled = Captioner.load(str(save_model(tmp_path, kind="pooled")), device="cpu")
    with pytest.raises(UsageError, match="attention"):
        pooled("a.jpg", attention=True)


def test_an_image_that_cannot_be_decoded_is_named(tiny_captioner: Captioner, photos: list[Path]) -> None:
    with pytest.raises(ImageError, match=r"gone.jpg: no such file"):
        tiny_captioner([photos[0], "gone.jpg"])
    with pytest.raises(ImageError, match=r"images\[1\]: not an image"):
        tiny_captioner([photos[0], b"no image"])
    with pytest.raises(ImageError, match=r"^the image: not an image"):
        tiny_captioner(b"no image")


def test_captions_have_words_probabilities_and_attention(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    for captions in tiny_captioner.caption(photos, SearchConfig(num_captions=2), attention=True):
        assert len(captions) == 2
        for caption in captions:
            assert len(caption.word_log_probs) == len(caption.words) + 1  # the end too
            assert caption.log_probability == pytest.approx(sum(caption.word_log_probs))
            assert caption.attention is not None
            assert caption.attention.shape == (len(caption.words), 2, 2)
            np.testing.assert_allclose(caption.attention.sum(axis=(1, 2)), 1, rtol=1e-5)


def test_no_images_have_no_captions(tiny_captioner: Captioner) -> None:
    assert tiny_captioner.caption([]) == []
    assert tiny_captioner.encoder.encode_pixels([]).shape == (0, 4, tiny_captioner.encoder.feature_dim)


def test_a_stream_is_in_order_and_goes_on_after_bad_images(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    sources = [photos[0], Path("missing.jpg"), *photos[1:], Path("also missing.jpg")]
    done = list(tiny_captioner.caption_stream(sources, open_source=lambda path: path, batch_size=2))
    assert [item.source for item in done] == sources
    assert [bool(item.captions) for item in done] == [True, False, True, True, True, False]
    assert isinstance(done[1].error, ImageError)
    alone = tiny_captioner.caption([photos[2]])[0]
    assert done[3].captions[0].words == alone[0].words


def test_numpy_numbers_are_batch_sizes(photos: list[Path]) -> None:
    model = Brightness()
    model([grey(0)] * 6, batch_size=np.int64(2))  # type: ignore[call-overload]
    assert model.batches == [1, 2, 2, 1]


def test_one_image_is_a_batch_of_one(tiny_captioner: Captioner, photos: list[Path]) -> None:
    expected = tiny_captioner.caption([photos[0]])
    assert tiny_captioner.caption(str(photos[0])) == expected  # type: ignore[arg-type]
    assert tiny_captioner.caption(photos[0].read_bytes()) == expected  # type: ignore[arg-type]


def test_samples_depend_on_the_place_of_an_image_not_on_batches(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    def sampled(images: list[Path], **keywords: int) -> list[str]:
        captions = tiny_captioner(images, sample=True, temperature=2.0, **keywords)  # type: ignore[call-overload]
        return [caption.text for caption in captions]

    twelve = [photos[0]] * 12
    every = sampled(twelve)
    assert len(set(every)) == 12
    assert sampled(twelve, batch_size=3) == every
    assert sampled([photos[0], *photos[1:], photos[0]])[4] == every[4]
    assert sampled([photos[0]], seed=7) == every[7:8]
