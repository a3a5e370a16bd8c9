"""The folder of a training run: weights, history and curve, complete at every moment.

`last.weights.h5` holds model, optimizer, step and random state: all that is needed to continue.
`best.weights.h5` holds the model with the highest `val_miou`, `averaged.weights.h5` the moving
average where nothing is validated, `history.csv` a row per so many steps, and `curve.png` is its
picture.
"""

import math
import pathlib

import h5py
import keras
import numpy as np

from keras_deeplab._internal.files import atomic_write
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.training.loop.averaging import averaged_weights, base_optimizer
from keras_deeplab.training.loop.history import History, plot_history
from keras_deeplab.training.loop.interruption import Interruption
from keras_deeplab.training.recipe import strategy_scope

STATE = "run_state"  # group in last.weights.h5: what Keras does not save
OVERFLOWS = 50  # steps in a row that float16 may overflow before the run counts as lost


class NonFinite(FloatingPointError):
    """The loss or the weights of a run became NaN or infinite."""


class RunFolder(keras.callbacks.Callback):
    """Writes the files of a run while `model.fit` goes on.

    Args:
        folder: The run's folder.
        save_every: Steps between two `last.weights.h5`.
        log_every: Steps averaged in a row of the history; the end of an epoch closes one too.
        writes: Whether this process writes; among workers, the chief alone.
        interruption: `Interruption` after which the run is saved and left.

    Raises:
        NonFinite: From `fit`, when the loss or a weight is NaN or infinite. What was saved stays.
        Interrupted: From `fit`, after a signal.
    """

    def __init__(self, folder, *, save_every=50, log_every=10, writes=True, interruption=None):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.save_every = save_every
        self.log_every = log_every
        self.writes = writes
        self.interruption = Interruption() if interruption is None else interruption
        self.validation_due = False  # whether the run was saved between an epoch and its validation
        self.step = 0  # batches seen; the optimizer does not count those that overflow float16
        self.history = History()
        self._losses = []  # of the batches that are in no row yet
        self._overflows = 0  # steps in a row without a finite loss, under loss scaling

    @property
    def last(self):
        return self.folder / "last.weights.h5"

    def restore(self, model):
        """Continues where `last.weights.h5` was written; returns the number of steps taken."""
        with strategy_scope(model):
            model.optimizer.build(model.trainable_variables)
        model.load_weights(self.last)
        with h5py.File(self.last) as file:
            state = file[STATE]
            for layer in _random_layers(model):
                layer.seed_generator.state.assign(state[layer.name][...])
            self._losses = state.attrs["losses"].tolist()
            self._overflows = int(state.attrs["overflows"])
            self.validation_due = bool(state.attrs["validation_due"])
            self.step = int(state.attrs["step"])
        self.history.read(self.folder / "history.csv", until=self.step)
        if self.writes:
            self._remove_leftovers()
        return self.step

    def _remove_leftovers(self):
        """Removes what a process left that was killed while it wrote."""
        for name in ("*.weights.h5", "history.csv", "curve.png"):
            for leftover in self.folder.glob(f".[0-9]*-{name}"):
                leftover.unlink()

    def on_train_batch_begin(self, batch, logs=None):
        # Keras reports the mean since the epoch began; a run wants the loss of each batch.
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self._check_loss(logs["loss"])
        if self.step % self.log_every == 0:
            self._add_row()
        self.validation_due = batch + 1 == self.params["steps"]
        interrupted = self.interruption.noted is not None
        if self.validation_due or self.step % self.save_every == 0 or interrupted:
            self.save()
        if interrupted:
            self.interruption.leave()

    def _check_loss(self, loss):
        if math.isfinite(loss):
            self._losses.append(loss)
            self._overflows = 0
            return
        self._overflows += 1
        # Loss scaling leaves out the update of a step that overflowed, and scales down.
        scaled = base_optimizer(self.model) is not self.model.optimizer
        if not scaled or self._overflows > OVERFLOWS:
            raise NonFinite(self._advice(f"The loss of step {self.step} is {loss}"))

    def _advice(self, what):
        kept = f"{self.last} is of an earlier step" if self.last.exists() else "Nothing was saved"
        return (
            f"{what}. {kept}. Try a lower learning rate, a warm-up, clipped gradients, or float32; "
            "and look at the images and masks."
        )

    def on_epoch_end(self, epoch, logs=None):
        self._add_row()
        if "val_miou" in logs:
            self.history.add_scores(logs)
        self.validation_due = False
        if self.writes:
            self._save_model(validated="val_miou" in logs)
            self.save()
            with atomic_write(self.folder / "curve.png") as path:
                plot_history(self.history.rows, path)

    def _save_model(self, validated):
        if validated and self.history.since_best() == 0:
            name = "best.weights.h5"
        elif base_optimizer(self.model).use_ema and not self.history.validations():
            name = "averaged.weights.h5"
        else:
            return
        with averaged_weights(self.model):
            save_keras_weights(self.model, self.folder / name)

    def save(self):
        """Writes the history and, after it, what it takes to continue.

        Raises:
            NonFinite: When a weight is NaN or infinite; the earlier file stays.
            OSError: When it cannot be written; the earlier file stays.
        """
        if not self.writes:
            return
        for weight in self.model.weights:
            if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
                raise NonFinite(
                    self._advice(f"After step {self.step}, {weight.path} is not finite")
                )
        try:
            self._write()
        except (OSError, RuntimeError) as error:  # h5py raises either when a disk is full
            raise OSError(
                f"{self.last} was not written at step {self.step} ({error}). The last one that "
                "was is still there: make room and resume."
            ) from error

    def _write(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.history.write(self.folder / "history.csv")
        with atomic_write(self.last) as path:
            self.model.save_weights(path)
            with h5py.File(path, "a") as file:
                state = file.create_group(STATE)
                state.attrs.update(
                    step=self.step,
                    losses=np.array(self._losses),
                    overflows=self._overflows,
                    validation_due=self.validation_due,
                )
                for layer in _random_layers(self.model):
                    # How far the random numbers of dropout have come.
                    state[layer.name] = keras.ops.convert_to_numpy(layer.seed_generator.state)

    def _add_row(self):
        if not self._losses:
            return
        rate = float(self.model.optimizer.learning_rate)
        self.history.add(self.step, sum(self._losses) / len(self._losses), rate)
        self._losses = []


def _random_layers(model):
    return [layer for layer in model.layers if hasattr(layer, "seed_generator")]
