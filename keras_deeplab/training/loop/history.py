"""History of a run: one row per interval of steps, as CSV and as a plot."""

import csv
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from keras_deeplab._internal.files import atomic_write

SCORES = ("val_miou", "val_miou_flip")
COLUMNS = ("step", "loss", "learning_rate", *SCORES)

Row = dict[str, int | float | None]


class History:
    """Losses, learning rates and scores of a run.

    Attributes:
        rows: Dicts of numbers with the keys of `COLUMNS`; scores are `None` in rows without a
            validation. Losses and rates are rounded to six digits, as in the file.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, step: int, loss: float, learning_rate: float) -> None:
        """Adds the mean loss of the batches since the last row."""
        rates = {"loss": float(f"{loss:.6g}"), "learning_rate": float(f"{learning_rate:.6g}")}
        self.rows.append({"step": step, **rates, **dict.fromkeys(SCORES)})

    def add_scores(self, scores: Mapping[str, float]) -> None:
        """Adds the scores of a validation to the last row."""
        self.rows[-1].update({name: float(scores[name]) for name in SCORES if name in scores})

    def validations(self) -> list[float]:
        """`val_miou` of all validations, in order."""
        scores = [row["val_miou"] for row in self.rows]
        return [score for score in scores if score is not None]

    def since_best(self) -> int:
        """Number of validations after the best one: 0 when the last one is the best so far."""
        scores = [-math.inf if math.isnan(score) else score for score in self.validations()]
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    def read(self, path: str | os.PathLike[str], until: int) -> None:
        """Replaces the rows by those of a file up to a step."""
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) <= until]
        self.rows = [
            {"step": int(row.pop("step")), **{k: float(v) if v else None for k, v in row.items()}}
            for row in rows
        ]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the rows as CSV."""
        with (
            atomic_write(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for row in self.rows:
                rates = {name: f"{row[name]:.6g}" for name in ("loss", "learning_rate")}
                writer.writerow({**row, **rates})


def plot_history(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Plots loss and validation mIoU over the steps as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    losses = np.array([(row["step"], row["loss"]) for row in rows], float).reshape(-1, 2)
    axes.plot(*losses.T, color="tab:gray", label="training loss")
    axes.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    right = axes.twinx()
    for name, color, label in (
        ("val_miou", "tab:blue", "validation mIoU"),
        ("val_miou_flip", "tab:orange", "validation mIoU with flip"),
    ):
        points = np.array(
            [(row["step"], row[name]) for row in rows if row[name] is not None], float
        )
        if len(points):
            right.plot(*points.T, "o-", color=color, markersize=3, label=label)
    right.set(ylabel="mIoU", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)
