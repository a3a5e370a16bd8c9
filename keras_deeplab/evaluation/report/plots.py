"""Plots of an evaluation: confusion matrix and reliability diagram."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_NAME = 24  # characters of a class name next to the matrix
NUMBERED_CLASSES = 30  # with more classes, the cells have no room for numbers
RESOLUTION = 120  # dots per inch


def plot_confusion(
    confusion: np.ndarray | Sequence[Sequence[int]],
    names: Sequence[str],
    file: str | os.PathLike[str] | IO[bytes],
) -> None:
    """Draws a confusion matrix as a PNG: shares of each labelled class by predicted class.

    Args:
        confusion: `(classes, classes)` pixel counts, labels in rows.
        names: Class names.
        file: The PNG: a path, or a binary file to write to.
    """
    counts = np.asarray(confusion, np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    side = 2.2 + 0.75 * min(len(names), NUMBERED_CLASSES)
    figure = _figure(side, side * 0.92)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(names))
    # A dollar sign in a name must not start a TeX formula.
    short = [_shorten(name) for name in names]
    axes.set_xticks(ticks, short, rotation=35, ha="right", parse_math=False)
    axes.set_yticks(ticks, short, parse_math=False)
    axes.set(xlabel="predicted", ylabel="labelled", title="share of each labelled class")
    if len(names) <= NUMBERED_CLASSES:
        for (row, column), share in np.ndenumerate(shares):
            color = "white" if share > 0.55 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=color)
    figure.savefig(file, dpi=RESOLUTION, format="png")


def plot_reliability(
    bins: Sequence[Mapping[str, Any]], file: str | os.PathLike[str] | IO[bytes]
) -> None:
    """Draws a reliability diagram as a PNG: accuracy and pixel count by confidence.

    Args:
        bins: Dicts with `low` and `high`, the confidence 0..1 where the bin begins and ends;
            `pixels`, their number; `accuracy`, the share of correct ones, or `None`.
        file: The PNG: a path, or a binary file to write to.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    low = np.array([bin["low"] for bin in bins])
    width = np.array([bin["high"] for bin in bins]) - low
    accuracy = np.array([bin["accuracy"] or 0 for bin in bins])
    pixels = np.array([bin["pixels"] for bin in bins])
    figure = _figure(5.2, 5.4)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    upper.bar(low, accuracy, width, align="edge", color="#4a86c0", edgecolor="white")
    upper.plot((0, 1), (0, 1), color="black", linestyle="--", linewidth=1)
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title="accuracy by confidence")
    lower.bar(low, pixels, width, align="edge", color="#8a8f98", edgecolor="white")
    # Most pixels are in the last bin: on a linear scale the others would be invisible.
    lower.set_ylim(
        0.7, 2 * max(pixels.max(), 10)
    )  # first: empty bins leave a log scale without limits
    lower.set_yscale("log")
    lower.yaxis.set_major_locator(LogLocator(numticks=4))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.set(xlabel="confidence", ylabel="pixels")
    figure.savefig(file, dpi=RESOLUTION, format="png")


def _figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
