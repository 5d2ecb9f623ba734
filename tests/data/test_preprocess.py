"""Images as tensors, against plain computations."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from showtell.data.preprocess import normalize, preprocess_image
from showtell.data.transforms import MEAN, STD, ImageTransform, random_view, to_pixels
from tests.bad_images import make_image


def test_normalize_equals_numpy_and_is_channels_last() -> None:
    pixels = torch.randint(0, 256, (3, 5, 7, 3), dtype=torch.uint8)
    kept = pixels.clone()
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.125)
    result = normalize(pixels, mean, std)
    expected = ((pixels.numpy() / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-5)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(pixels, kept)
    torch.testing.assert_close(normalize(pixels, torch.tensor(mean), torch.tensor(std)), result)


def test_the_default_is_what_the_keras_encoder_takes() -> None:
    white = normalize(torch.full((1, 1, 1, 3), 255, dtype=torch.uint8))
    torch.testing.assert_close(
        white.flatten(), torch.tensor([255 - 123.68, 255 - 116.779, 255 - 103.939]), rtol=0, atol=1e-4
    )


def test_preprocess_image_equals_a_plain_computation() -> None:
    result = preprocess_image(make_image(), size=40)
    resized = np.asarray(make_image().resize((40, 40), Image.Resampling.BICUBIC))
    expected = ((resized / 255 - MEAN) / STD).transpose(2, 0, 1)
    assert (result.shape, result.dtype, result.is_contiguous()) == ((3, 40, 40), torch.float32, True)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-4)


def test_preprocess_image_for_training_is_a_normalised_random_view() -> None:
    result = preprocess_image(make_image(), size=28, train=True, generator=torch.Generator().manual_seed(5))
    view = random_view(make_image(), 28, torch.rand(5, generator=torch.Generator().manual_seed(5)).tolist())
    torch.testing.assert_close(result, normalize(torch.from_numpy(to_pixels(view))[None])[0])
    with_other_mean = preprocess_image(make_image(), size=28, mean=(0, 0, 0), std=(1, 1, 1))
    assert with_other_mean.min() >= 0
    assert with_other_mean.max() <= 1


def test_a_square_is_encoded_as_preprocessed() -> None:
    transform, square = ImageTransform(size=48), make_image(90, 90)
    full = torch.from_numpy(transform.pixels(square))[None]
    torch.testing.assert_close(
        normalize(full, transform.mean, transform.std)[0], preprocess_image(square, size=48)
    )
