"""Images that may be captioned: files, addresses of files, arrays, tensors, PIL images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from showtell.data.inputs import is_image, thumbnail, to_image_source
from showtell.errors import ImageError, ShowtellError, UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
RED = torch.from_numpy(PIXELS)


@pytest.mark.parametrize(
    "value",
    [
        PIXELS,
        PIXELS[::-1][::-1],  # not contiguous
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        RED,
        RED.permute(2, 0, 1),
        RED.permute(2, 0, 1) / 255,
        (RED / 255).double().requires_grad_(),
        Image.fromarray(PIXELS),
        np.dstack([PIXELS, np.full((6, 5), 255, np.uint8)]),
    ],
)
def test_all_kinds_are_the_same_image(value: object) -> None:
    assert is_image(value)
    image = to_image_source(value)
    assert isinstance(image, Image.Image)
    assert np.array_equal(np.asarray(image.convert("RGB")), PIXELS)


@pytest.mark.parametrize("value", [PIXELS[:, :, 0], PIXELS[:, :, :1], RED[:, :, 0], RED[None, :, :, 0]])
def test_grey_images(value: object) -> None:
    image = to_image_source(value)
    assert isinstance(image, Image.Image)
    assert (image.mode, image.size) == ("L", (5, 6))
    assert np.array_equal(np.asarray(image), PIXELS[:, :, 0])


def test_bf16_tensors_are_images() -> None:
    image = to_image_source(torch.ones(3, 4, 4, dtype=torch.bfloat16))
    assert np.asarray(image).min() == 255


@pytest.mark.parametrize(
    ("value", "same"), [("a.jpg", "a.jpg"), (Path("a.jpg"), Path("a.jpg")), (bytearray(b"x"), b"x")]
)
def test_paths_and_bytes_are_kept(value: object, same: object) -> None:
    assert is_image(value)
    assert to_image_source(value) == same


@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        ("https://example.org/a.jpg", UsageError, "URL.*give its path"),
        ("data:image/png;base64,AAAA", UsageError, "URL"),
        (5, UsageError, "of type int"),
        (None, UsageError, "of type NoneType"),
        (PIXELS.transpose(2, 0, 1), UsageError, r"transpose\(1, 2, 0\)"),
        (PIXELS[None], UsageError, r"list\(images\)"),
        (PIXELS[0, 0], UsageError, r"shape \(3,\)"),
        (PIXELS.astype(np.int64), UsageError, "int64"),
        (PIXELS.astype(np.float32), ImageError, "0 to 1"),
        (np.full((4, 4), np.nan), ImageError, "nan"),
        (RED.float() / 255 - 0.5, ImageError, "not normalized"),
        (np.zeros((0, 4, 3), np.uint8), ImageError, "no pixels"),
    ],
)
def test_what_is_no_image_is_refused(value: object, error: type[ShowtellError], reason: str) -> None:
    with pytest.raises(error, match=reason) as raised:
        to_image_source(value, "images[2]")
    assert "\n" not in str(raised.value)
    assert isinstance(value, str) or str(raised.value).startswith("images[2]: ")


def test_an_open_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"line\nline\n")
    with (tmp_path / "a.jpg").open("rb") as file:
        for value in (file, io.BytesIO(b"a\nb"), io.StringIO("a\nb")):
            assert is_image(value)  # not an iterable of images
            with pytest.raises(
                UsageError, match=r"^images\[2\]: is an open file; give its path, or its bytes"
            ):
                to_image_source(value, "images[2]")


def test_a_list_is_no_image() -> None:
    assert not is_image([PIXELS])


def test_thumbnails_keep_their_proportions() -> None:
    assert thumbnail(Image.new("L", (1600, 400))).size == (400, 100)
