import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from showtell.captioning.caption import Caption
from showtell.errors import UsageError
from showtell.output import AttentionImages, Record
from showtell.utils.plots import _heated, plot_attention


def record(name: str = "dog.jpg", words: int = 3) -> Record:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(stream, "JPEG")
    looked = np.full((words, 7, 7), 1 / 49, np.float32)
    candidates = tuple("abcdefghijklmnopqrst"[:words])
    return Record(
        name,
        (Caption(" ".join(candidates), candidates, (-0.5,) * (words + 1), looked),),
        preview=stream.getvalue(),
    )


def photo(height: int = 70, width: int = 140) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_the_photo_is_bright_and_warm_where_it_looked() -> None:
    looked = np.zeros((7, 7), np.float32)
    looked[1, 5] = 1  # the second row, the last column but one
    heated = _heated(photo(), looked).astype(float)
    assert heated.shape == (70, 140, 3)
    brightness = heated.mean(axis=2)
    row, column = np.unravel_index(brightness.argmax(), brightness.shape)
    assert (row // 10, column // 20) == (1, 5)
    assert heated[15, 110, 0] > heated[15, 110, 2] + 30
    assert np.ptp(heated[60, 20]) < 1
    assert brightness[60, 20] < 0.4 * 128


def test_an_even_look_is_even_and_less_than_full_heat() -> None:
    even = _heated(photo(), np.full((7, 7), 1 / 49, np.float32))
    assert np.ptp(even, axis=(0, 1)).max() <= 1
    peak = np.zeros((7, 7), np.float32)
    peak[3, 3] = 1
    assert even.mean() < 0.6 * _heated(photo(), peak)[35, 70].mean()


@pytest.mark.parametrize("words", [1, 2, 5, 6, 20])
def test_there_is_a_panel_for_each_word(tmp_path: Path, words: int) -> None:
    """A white photo comes out warm, text is grey: panels are the large warm pieces."""
    from scipy.ndimage import label

    looked = np.full((words, 7, 7), 1 / 49, np.float32)
    white = np.full((40, 60, 3), 255, np.uint8)
    path = plot_attention(
        white, ["w"] * words, looked, tmp_path / "a.png", title="t", log_probs=[0.0] * words
    )
    pixels = np.asarray(Image.open(path).convert("RGBA")).astype(int)
    warm = (pixels[..., 3] > 200) & (pixels[..., 0] - pixels[..., 1] > 10)
    pieces, count = label(warm)
    sizes = np.bincount(pieces.ravel())[1:]
    assert (sizes > 5000).sum() == words, f"{count} pieces"


@pytest.mark.parametrize("shape", [(1, 1), (400, 1), (1, 400), (3, 400)])
def test_photos_of_any_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    looked = np.full((2, 7, 7), 1 / 49, np.float32)
    path = plot_attention(
        photo(*shape), ["a", "$b"], looked, tmp_path / "a.png", title="a $b", log_probs=[0, -1]
    )
    with Image.open(path) as image:
        assert image.width > 500
        assert image.height < 1200


def test_a_long_caption_fits_the_width(tmp_path: Path) -> None:
    looked = np.full((1, 7, 7), 1 / 49, np.float32)
    title = " ".join(["wonderful"] * 20)
    path = plot_attention(photo(), ["wonderful"], looked, tmp_path / "a.png", title=title, log_probs=[-1])
    alpha = np.asarray(Image.open(path).convert("RGBA"))[..., 3]
    assert not alpha[:, :3].any()
    assert not alpha[:, -3:].any()


def test_images_in_a_folder_have_names_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "looked"
    with AttentionImages(folder) as images:
        for name in ("a/dog.jpg", "b/dog.png", "Dog.jpg"):
            images.add(record(name))
        images.add(Record("bad.jpg", (), "the file is empty"))
    names = {path.name for path in folder.iterdir()}
    assert names == {"dog.attention.png", "dog-2.attention.png", "Dog-3.attention.png"}
    assert images.made(str(folder / "dog.attention.png"))
    assert not images.made(str(folder / "dog.png"))
    assert not images.made(str(tmp_path / "dog.attention.png"))


def test_a_single_image(tmp_path: Path) -> None:
    with AttentionImages(tmp_path / "made" / "look.PNG") as images:
        assert images.single
        images.add(record())
    with Image.open(tmp_path / "made" / "look.PNG") as image:
        assert image.format == "PNG"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: this is no folder"):
        AttentionImages(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written"), AttentionImages(tmp_path / "file" / "a.png"):
        pass


@given(st.lists(st.sampled_from(["a", "A", "a-2", "a-3", "b"]), max_size=12))
def test_no_two_photos_share_an_image(stems: list[str]) -> None:
    images = AttentionImages(Path("nowhere"))
    paths = [images._free_path(stem) for stem in stems]
    assert len({path.name.casefold() for path in paths}) == len(stems)
