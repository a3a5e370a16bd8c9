"""The picture of a training here and in PyTorch in docs/performance.md.

In a checkout: `python docs/training_twin_picture.py FILE`, with the CSV file of
`python benchmarks/training_twin.py ... --dropout 0.1 --validation ... --csv FILE`.
"""

import csv
import pathlib
import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

TARGET = pathlib.Path(__file__).parent / "images/training_twin.png"
TRAININGS = {"ours": ("keras_deeplab", "#4c72b0"), "pytorch": ("PyTorch", "#dd8452")}
WINDOW = 25  # steps of the running mean


def column(rows, name):
    """Steps, counted from 1, and values of the rows that have one."""
    found = [(int(row["step"]) + 1, float(row[name])) for row in rows if row[name]]
    return np.array(found).T


def main(path):
    """Draws the running means of both losses over the mIoU of both."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure, (top, bottom) = pyplot.subplots(
        2, 1, figsize=(7, 5), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    for name, (title, color) in TRAININGS.items():
        steps, losses = column(rows, name)
        means = np.convolve(losses, np.ones(WINDOW) / WINDOW, "valid")
        top.plot(steps[WINDOW - 1 :], means, color=color, label=title, linewidth=1.2)
        steps, scores = column(rows, f"miou_{name}")
        bottom.plot(steps, scores, "o-", color=color, label=title)
        print(f"{title}: loss of the last {WINDOW} steps {means[-1]:.4f}, mIoU {scores[-1]:.4f}")
    top.set_ylabel(f"loss, mean of {WINDOW} steps")
    top.legend(frameon=False)
    bottom.set(xlabel="step", ylabel="mIoU, validation")
    for axes in (top, bottom):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(TARGET, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])
