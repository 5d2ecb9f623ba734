"""All plots of showtell, in one style, as PNG files.

To add a kind of plot: inside `with style():`, `figure, axes = new_figure(...)`, draw on the axes, and
`save(figure, path)`. Backgrounds are transparent and text is grey, so that a plot reads well on a light and
on a dark page. matplotlib is imported where it is used (it is slow to import), and without `pyplot`: nothing
is shown on a screen, nothing is global.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from showtell.utils.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#14b8a6")
"""The colours of lines, in their order; the first is also that of bars. Each reads on white and on black."""
GREY = "#808080"

_STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "text.color": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "legend.loc": "upper right",  # "best" is slow, and warns of it on a busy machine
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.parse_math": False,  # a word may hold a dollar sign
}


@contextmanager
def style() -> Iterator[None]:
    """The style of all plots, for a `with` block around drawing and saving."""
    import matplotlib as mpl
    from cycler import cycler

    with mpl.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=COLORS)}):
        yield


def new_figure(
    *, title: str, x_label: str = "", y_label: str = "", width: float = 7.5, height: float = 4.2
) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, to be drawn on inside `style()`; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


@contextmanager
def missing_glyphs_as_boxes() -> Iterator[None]:
    """Draw characters that the font lacks (Chinese, ...) as boxes, without a warning for each of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG file (the same drawing, the same bytes) and return its path.

    Raises:
        OSError: the file cannot be written.
    """
    buffer = io.BytesIO()
    with missing_glyphs_as_boxes():
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return write_atomic(path, buffer.getvalue())


def plot_histogram(
    counts: Mapping[int, int],
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    marks: Mapping[str, float] | None = None,
) -> Path:
    """Draw how often each whole number came.

    Args:
        counts: number -> times.
        path: the PNG file.
        title: over the plot.
        x_label: what the numbers are.
        y_label: what was counted.
        marks: name -> number, for dashed lines across the plot, such as the mean.

    Returns:
        The path.
    """
    from matplotlib.ticker import MaxNLocator

    with style():
        figure, axes = new_figure(title=title, x_label=x_label, y_label=y_label)
        axes.bar(list(counts), list(counts.values()), width=0.85, color=COLORS[0])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        for color, (name, value) in zip(COLORS[1:], (marks or {}).items(), strict=False):
            axes.axvline(value, color=color, linestyle="--", label=f"{name} {value:.3g}")
        if marks:
            axes.legend()
        return save(figure, path)


def plot_bars(values: Mapping[str, float], path: Path, *, title: str, x_label: str) -> Path:
    """Draw horizontal bars, the first on top.

    Args:
        values: name -> length of its bar.
        path: the PNG file.
        title: over the plot.
        x_label: what the lengths are.

    Returns:
        The path.
    """
    with style():
        figure, axes = new_figure(title=title, x_label=x_label, height=1.3 + 0.26 * len(values))
        indices = range(len(values))
        axes.barh(indices, list(values.values()), color=COLORS[0])
        axes.set_yticks(indices, labels=list(values))
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.xaxis.set_major_formatter("{x:,.0f}" if max(values.values(), default=0) >= 10 else "{x:g}")
        return save(figure, path)


def plot_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    markers: bool = False,
    x_ticks: Sequence[float] | None = None,
    size: tuple[float, float] = (7.5, 4.2),
) -> Path:
    """Draw one or more lines; with a legend if there are several.

    Args:
        lines: name -> its points (x, y), in the order to join them.
        path: the PNG file.
        title: over the plot.
        x_label: what x is.
        y_label: what y is.
        log_x: x on a logarithmic scale.
        log_y: y on a logarithmic scale.
        markers: a dot at each point.
        x_ticks: the values of x to write under the axis; None leaves it to matplotlib.
        size: width and height in inches; the smaller, the larger the text beside the plot.

    Returns:
        The path.
    """
    with style():
        width, height = size
        figure, axes = new_figure(title=title, x_label=x_label, y_label=y_label, width=width, height=height)
        for name, points in lines.items():
            x, y = [point[0] for point in points], [point[1] for point in points]
            axes.plot(x, y, label=name, marker="o" if markers else "")
        empty = not any(lines.values())  # which no logarithmic scale can show
        if log_x and not empty:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,.10g}")
        if x_ticks is not None:
            axes.set_xticks(x_ticks)
            axes.set_xticks([], minor=True)
        if log_y and not empty:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:,.10g}")
        if len(lines) > 1:
            axes.legend()
        return save(figure, path)


def plot_distribution(
    values: Mapping[str, Sequence[float]],
    path: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    bins: int = 40,
    size: tuple[float, float] = (7.5, 4.2),
) -> Path:
    """Draw how often values of one kind or more came; with a legend if there are several.

    Args:
        values: name -> its values, one or more.
        path: the PNG file.
        title: over the plot.
        x_label: what the values are.
        y_label: what was counted.
        bins: intervals of the same width, from the least value of all to the greatest.
        size: width and height in inches; the smaller, the larger the text beside the plot.

    Returns:
        The path.
    """
    with style():
        width, height = size
        figure, axes = new_figure(title=title, x_label=x_label, y_label=y_label, width=width, height=height)
        edges = np.histogram_bin_edges(np.concatenate([np.asarray(v) for v in values.values()]), bins)
        for name, some in values.items():
            counts, _ = np.histogram(some, edges)
            axes.stairs(counts, edges, fill=len(values) == 1, label=name, linewidth=2)
        if len(values) > 1:
            axes.legend()
        return save(figure, path)


def plot_attention(
    photo: npt.NDArray[np.uint8],
    words: Sequence[str],
    attention: npt.NDArray[np.float32],
    path: Path,
    *,
    title: str,
    log_probs: Sequence[float],
) -> Path:
    """Draw the attention weights of each word over the photo, warm and bright where they are large.

    The colour scale of a word ends at its largest weight, but not below three times the uniform weight, so
    that a nearly uniform map does not look concentrated.

    Args:
        photo: (H, W, 3), in its own proportions.
        words: T words.
        attention: (T, rows, columns), each word's sums to 1 over the cells of the whole photo.
        path: the PNG file.
        title: over the plot, such as the caption.
        log_probs: T or more; natural logarithm of each word's probability.

    Returns:
        The path.
    """
    from matplotlib.figure import Figure

    rows = max(1, ceil(len(words) / 5))
    columns = max(3, ceil(len(words) / rows))
    aspect = min(max(photo.shape[0] / photo.shape[1], 0.4), 2.0)
    with style():
        figure = Figure(figsize=(1.9 * columns, (1.9 * aspect + 0.3) * rows + 0.5), layout="constrained")
        figure.suptitle(title, fontsize=13, fontweight="bold", wrap=True)
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for panel in panels:
            panel.set_axis_off()
        for panel, word, weights, log_prob in zip(panels, words, attention, log_probs, strict=False):
            panel.imshow(_heated(photo, weights))
            panel.set_title(f"{word}  {np.exp(log_prob):.0%}", fontsize=11, fontweight="normal", pad=4)
        return save(figure, path)


def _heated(photo: npt.NDArray[np.uint8], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The photo, dark where `weights` (rows, columns) is low, with a warm cast where it is high."""
    import matplotlib as mpl

    full = max(float(weights.max()), 3 / weights.size)
    height, width = photo.shape[:2]
    smooth = Image.fromarray(weights / np.float32(full)).resize((width, height), Image.Resampling.BICUBIC)
    heat = np.clip(np.asarray(smooth), 0, 1)[..., None]  # (H, W, 1)
    warm = mpl.colormaps["inferno"](heat[..., 0])[..., :3] * 255
    cast = 0.45 * heat
    return ((photo * (0.3 + 0.7 * heat)) * (1 - cast) + warm * cast).clip(0, 255).astype(np.uint8)
