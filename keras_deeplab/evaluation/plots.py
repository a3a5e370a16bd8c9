"""Pictures of an evaluation."""

import numpy as np


def plot_confusion(confusion, names, path):
    """Draws a confusion matrix as a PNG: of each labelled class, where its pixels went.

    Args:
        confusion: `(classes, classes)` pixel counts, labels in rows.
        names: Class names.
        path: The PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.asarray(confusion, np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    side = 2.2 + 0.75 * len(names)
    figure = Figure(figsize=(side, side * 0.92), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=35, ha="right")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="labelled", title="share of each labelled class")
    for row in ticks:
        for column in ticks:
            share = shares[row, column]
            color = "white" if share > 0.55 else "black"
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=color)
    figure.savefig(path, dpi=120)
