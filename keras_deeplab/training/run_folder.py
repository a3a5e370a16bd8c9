"""The folder of a training run: weights, history and curve, complete at every moment.

`last.weights.h5` holds model, optimizer, step and random state: all that is needed to continue.
`best.weights.h5` holds the model with the highest `val_miou`, `history.csv` a row per so many
steps, and `curve.png` is its picture.
"""

import csv
import pathlib

import h5py
import keras
import numpy as np

from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.files import written_whole

STATE = "run_state"  # group in last.weights.h5: what Keras does not save
COLUMNS = ("step", "loss", "learning_rate", "val_miou", "val_miou_flip")


class RunFolder(keras.callbacks.Callback):
    """Writes the files of a run while `model.fit` goes on.

    Args:
        folder: The run's folder.
        save_every: Steps between two `last.weights.h5`.
        log_every: Steps averaged in a row of the history; the end of an epoch closes one too.
    """

    def __init__(self, folder, *, save_every=50, log_every=10):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.save_every = save_every
        self.log_every = log_every
        self.step = 0  # batches seen; the optimizer does not count those that overflow float16
        self.rows = []
        self._losses = []  # of the batches that are in no row yet
        self._batches, self._loss_sum = 0, 0.0

    @property
    def last(self):
        return self.folder / "last.weights.h5"

    @property
    def best(self):
        return self.folder / "best.weights.h5"

    def restore(self, model):
        """Continues where `last.weights.h5` was written; returns the number of steps taken."""
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.last)
        with h5py.File(self.last) as file:
            state = file[STATE]
            for layer in _random_layers(model):
                layer.seed_generator.state.assign(state[layer.name][...])
            self._losses = state.attrs["losses"].tolist()
            self.step = int(state.attrs["step"])
        with open(self.folder / "history.csv", newline="", encoding="utf-8") as file:
            self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= self.step]
        return self.step

    def on_epoch_begin(self, epoch, logs=None):
        self._batches, self._loss_sum = 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean since the epoch began; the curve wants the loss of each batch.
        self.step += 1
        self._batches += 1
        total = logs["loss"] * self._batches
        self._losses.append(total - self._loss_sum)
        self._loss_sum = total
        if self.step % self.log_every == 0:
            self._add_row()
        # After the last batch of an epoch, validation comes first: a run that is killed in between
        # must not resume behind it.
        if self.step % self.save_every == 0 and batch + 1 < self.params["steps"]:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        if self._losses:
            self._add_row()
        if "val_miou" in logs:
            self._add_validation(logs)
        self.save()
        with written_whole(self.folder / "curve.png") as path:
            plot_history(self.rows, path)

    def _add_validation(self, logs):
        previous = [float(row["val_miou"]) for row in self.rows if row["val_miou"] != ""]
        self.rows[-1].update({name: logs[name] for name in COLUMNS[3:] if name in logs})
        if not previous or logs["val_miou"] > max(previous):
            save_keras_weights(self.model, self.best)

    def save(self):
        """Writes the history and, after it, what it takes to continue."""
        self.write_history()
        with written_whole(self.last) as path:
            self.model.save_weights(path)
            with h5py.File(path, "a") as file:
                state = file.create_group(STATE)
                state.attrs.update(step=self.step, losses=np.array(self._losses))
                for layer in _random_layers(self.model):
                    # How far the random numbers of dropout have come.
                    state[layer.name] = keras.ops.convert_to_numpy(layer.seed_generator.state)

    def write_history(self):
        """Writes `history.csv`."""
        with (
            written_whole(self.folder / "history.csv") as path,
            open(path, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)

    def _add_row(self):
        optimizer = self.model.optimizer
        self.rows.append(
            {
                "step": self.step,
                "loss": f"{sum(self._losses) / len(self._losses):.6g}",
                "learning_rate": f"{float(optimizer.learning_rate):.6g}",
                "val_miou": "",
                "val_miou_flip": "",
            }
        )
        self._losses = []


def _random_layers(model):
    return [layer for layer in model.layers if hasattr(layer, "seed_generator")]


def plot_history(rows, path):
    """Draws loss and validation mIoU over the steps as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = [int(row["step"]) for row in rows]
    axes.plot(steps, [float(row["loss"]) for row in rows], color="tab:gray", label="training loss")
    axes.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    right = axes.twinx()
    for name, color, label in (
        ("val_miou", "tab:blue", "validation mIoU"),
        ("val_miou_flip", "tab:orange", "validation mIoU with flip"),
    ):
        points = [(int(row["step"]), float(row[name])) for row in rows if row[name] != ""]
        if points:
            right.plot(*zip(*points, strict=True), "o-", color=color, markersize=3, label=label)
    right.set(ylabel="mIoU", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)
