"""Plots: what is drawn, measured in the pixels."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.utils.plots import (
    COLORS,
    GREY,
    _heated,
    plot_attention,
    plot_bars,
    plot_distribution,
    plot_histogram,
    plot_lines,
)


def photo(height: int = 70, width: int = 140) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_the_photo_is_bright_and_warm_where_it_looked() -> None:
    weights = np.zeros((7, 7), np.float32)
    weights[1, 5] = 1  # the second row, the last column but one
    heated = _heated(photo(), weights).astype(float)
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


@pytest.mark.parametrize("words", [1, 6, 20])
def test_there_is_a_panel_for_each_word(tmp_path: Path, words: int) -> None:
    """A white photo comes out warm, text is grey: panels are the large warm pieces."""
    from scipy.ndimage import label

    weights = np.full((words, 7, 7), 1 / 49, np.float32)
    white = np.full((40, 60, 3), 255, np.uint8)
    path = plot_attention(
        white, ["w"] * words, weights, tmp_path / "a.png", title="t", log_probs=[0.0] * words
    )
    pixels = np.asarray(Image.open(path).convert("RGBA")).astype(int)
    warm = (pixels[..., 3] > 200) & (pixels[..., 0] - pixels[..., 1] > 10)
    pieces, count = label(warm)
    sizes = np.bincount(pieces.ravel())[1:]
    assert (sizes > 5000).sum() == words, f"{count} pieces"


@pytest.mark.parametrize("shape", [(1, 1), (400, 1), (1, 400), (3, 400)])
def test_photos_of_any_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    weights = np.full((2, 7, 7), 1 / 49, np.float32)
    path = plot_attention(
        photo(*shape), ["a", "$b"], weights, tmp_path / "a.png", title="a $b", log_probs=[0, -1]
    )
    with Image.open(path) as image:
        assert image.width > 500
        assert image.height < 1200


def test_a_long_caption_fits_the_width(tmp_path: Path) -> None:
    weights = np.full((1, 7, 7), 1 / 49, np.float32)
    title = " ".join(["wonderful"] * 20)
    path = plot_attention(photo(), ["wonderful"], weights, tmp_path / "a.png", title=title, log_probs=[-1])
    alpha = np.asarray(Image.open(path).convert("RGBA"))[..., 3]
    assert not alpha[:, :3].any()
    assert not alpha[:, -3:].any()


def colored(path: Path, color: str) -> np.ndarray:
    """Where a plot is of a colour (H, W), and opaque."""
    pixels = np.asarray(Image.open(path).convert("RGBA")).astype(int)
    wanted = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return (np.abs(pixels[..., :3] - wanted).max(axis=2) < 3) & (pixels[..., 3] > 250)


def test_bars_of_a_histogram_are_as_high_as_their_counts(tmp_path: Path) -> None:
    counts = {3: 10, 4: 40, 6: 20}
    path = plot_histogram(
        counts, tmp_path / "h.png", title="t", x_label="x", y_label="y", marks={"mean": 4.6}
    )
    heights = colored(path, COLORS[0]).sum(axis=0)
    runs = [list(run) for full, run in itertools.groupby(heights.tolist(), bool) if full]
    bars = [max(run) for run in runs if len(run) > 20]
    assert len(bars) == len(counts)
    np.testing.assert_allclose(np.array(bars) / bars[1], [0.25, 1, 0.5], atol=0.02)
    assert colored(path, COLORS[1]).any(), "the line of the mean"


def test_horizontal_bars_are_as_long_as_their_values(tmp_path: Path) -> None:
    path = plot_bars({"a": 2.0, "b": 8.0, "c": 4.0}, tmp_path / "b.png", title="t", x_label="x")
    lengths = colored(path, COLORS[0]).sum(axis=1)
    runs = [max(run) for full, run in itertools.groupby(lengths.tolist(), bool) if full]
    np.testing.assert_allclose(np.array(runs) / runs[1], [0.25, 1, 0.5], atol=0.02)


@pytest.mark.parametrize("log", [False, True])
def test_a_line_goes_through_its_points(log: bool, tmp_path: Path) -> None:
    lines = {"up": [(1.0, 1.0), (10.0, 10.0), (100.0, 100.0)], "none": []}
    path = plot_lines(
        lines, tmp_path / "l.png", title="t", x_label="x", y_label="y", log_x=log, log_y=log, x_ticks=[1, 100]
    )
    rows, columns = np.nonzero(colored(path, COLORS[0]))
    left, right = columns < columns.min() + 5, rows < rows.min() + 5
    assert rows[left].mean() > rows.max() - 10, "it begins at the bottom left"
    assert columns[right].mean() > columns.max() - 60, "and ends at the top right, or in the legend"


def test_no_points_are_drawn_on_any_scale(tmp_path: Path) -> None:
    path = plot_lines(
        {"a": []}, tmp_path / "l.png", title="t", x_label="x", y_label="y", log_x=True, log_y=True
    )
    assert not colored(path, COLORS[0]).any()
    assert colored(path, GREY).any()


def test_a_distribution_has_the_area_of_its_values(tmp_path: Path) -> None:
    path = plot_distribution(
        {"a": [0.0] * 30 + [1.0] * 10}, tmp_path / "d.png", title="t", x_label="x", y_label="y", bins=2
    )
    heights = colored(path, COLORS[0]).sum(axis=0)
    heights = heights[heights > 0]
    quarter = len(heights) // 4
    assert heights[3 * quarter] / heights[quarter] == pytest.approx(1 / 3, abs=0.02)


def test_the_same_drawing_has_the_same_bytes_whatever_the_characters(tmp_path: Path) -> None:
    first, second = (
        plot_bars({"\u72d7 $x$": 1.0}, tmp_path / name, title="\u732b", x_label="x")
        for name in ("a.png", "b.png")
    )
    assert first.read_bytes() == second.read_bytes()
