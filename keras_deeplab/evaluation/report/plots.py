"""Pictures of an evaluation: where pixels went, and how far confidence can be trusted."""

import numpy as np

LONGEST_NAME = 24  # characters of a class name beside the matrix
NUMBERED_CLASSES = 30  # more fields than these have no room for numbers
RESOLUTION = 120  # dots per inch


def plot_confusion(confusion, names, file):
    """Draws a confusion matrix as a PNG: of each labelled class, where its pixels went.

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
    # Names are no formulas: a dollar sign in one would begin TeX.
    short = [_shorten(name) for name in names]
    axes.set_xticks(ticks, short, rotation=35, ha="right", parse_math=False)
    axes.set_yticks(ticks, short, parse_math=False)
    axes.set(xlabel="predicted", ylabel="labelled", title="share of each labelled class")
    if len(names) <= NUMBERED_CLASSES:
        for (row, column), share in np.ndenumerate(shares):
            color = "white" if share > 0.55 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=color)
    figure.savefig(file, dpi=RESOLUTION, format="png")


def plot_reliability(bins, file):
    """Draws a reliability diagram as a PNG: how many pixels of each confidence are right.

    Args:
        bins: List of dicts: `low` and `high`, the confidence 0..1 where the bin begins and ends;
            `pixels`, their number; `accuracy`, the share of them that is right, or `None`.
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
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title="accuracy at each confidence")
    lower.bar(low, pixels, width, align="edge", color="#8a8f98", edgecolor="white")
    # Most pixels are in the last bin: on a linear scale the others would vanish.
    lower.set_ylim(0.7, 2 * max(pixels.max(), 10))  # first: a log scale finds none in empty bins
    lower.set_yscale("log")
    lower.yaxis.set_major_locator(LogLocator(numticks=4))
    lower.yaxis.set_minor_locator(NullLocator())
    lower.set(xlabel="confidence", ylabel="pixels")
    figure.savefig(file, dpi=RESOLUTION, format="png")


def _figure(width, height):
    """An empty figure, inches, that draws without a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _shorten(name):
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
