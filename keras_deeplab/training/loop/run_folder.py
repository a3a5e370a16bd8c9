"""The folder of a training run: weights, history and plot, all written atomically.

`last.weights.h5` contains model, optimizer, step and random state: everything needed to continue.
`best.weights.h5` contains the model with the highest `val_miou`, `averaged.weights.h5` the moving
average of a run without validation, `history.csv` a row per interval of steps, and `curve.png` is
its plot. Other modules write `check_image.tif` and TensorBoard's events.
"""

import json
import math
import os
import pathlib
from typing import Any

import h5py
import keras
import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import atomic_write, write_json
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.training.compiling import strategy_scope
from keras_deeplab.training.freezing import frozen_layers
from keras_deeplab.training.loop.averaging import averaged_weights, base_optimizer
from keras_deeplab.training.loop.history import History, plot_history
from keras_deeplab.training.loop.interruption import Interruption
from keras_deeplab.zoo.run_folders import CHECK_IMAGE, RUN_RECORD, Record

LAST = "last.weights.h5"
STATE = "run_state"  # group in it for state that Keras does not save
OVERFLOWS = 50  # consecutive steps that may overflow float16 before the run fails


class NonFinite(FloatingPointError):
    """The loss or the weights of a run became NaN or infinite."""


class RunFolder(keras.callbacks.Callback):
    """Writes the files of a run during `model.fit`.

    Args:
        folder: The run folder.
        save_every: Steps between saves of `last.weights.h5`.
        log_every: Steps averaged in a row of the history; a row also ends with each epoch.
        writes: Whether this process writes files; of several workers, only the chief does.
        interruption: Signals after which the run is saved and ended.
        record: What to write to `run.json`, with the first weights; `None` for no record.

    Raises:
        NonFinite: From `fit`, when the loss or a weight is NaN or infinite. Saved files are kept.
        Interrupted: From `fit`, after a signal.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        save_every: int = 50,
        log_every: int = 10,
        writes: bool = True,
        interruption: Interruption | None = None,
        record: Record | None = None,
    ) -> None:
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.save_every = save_every
        self.log_every = log_every
        self.writes = writes
        self.interruption = Interruption() if interruption is None else interruption
        self.record = record
        self.validation_due = False  # whether the run was saved between an epoch and its validation
        self.step = 0  # all batches; the optimizer does not count those that overflow float16
        self.history = History()
        self._losses: list[float] = []  # of batches since the last row
        self._overflows = 0  # consecutive steps without a finite loss, under loss scaling

    @property
    def last(self) -> pathlib.Path:
        """File from which the run can be resumed."""
        return self.folder / LAST

    def restore(self, model: keras.Model) -> int:
        """Restores the state in `last.weights.h5`; returns the number of steps done."""
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
        # The history is written first: after a kill in between, it has a row of these losses.
        until = self.step - 1 if self._losses else self.step
        self.history.read(self.folder / "history.csv", until=until)
        return self.step

    def remove_leftovers(self) -> None:
        """Removes the temporary files of a process that was killed while writing."""
        if not self.writes:
            return
        for name in ("*.weights.h5", "history.csv", "curve.png", RUN_RECORD, CHECK_IMAGE):
            for leftover in self.folder.glob(f".[0-9]*-{name}"):
                leftover.unlink()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Keras reports the mean since the start of the epoch; the history needs each batch's loss.
        self.model.reset_metrics()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
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

    def _check_loss(self, loss: float) -> None:
        if math.isfinite(loss):
            self._losses.append(loss)
            self._overflows = 0
            return
        self._overflows += 1
        # Loss scaling skips the update of a step that overflowed, and reduces the scale.
        scaled = base_optimizer(self.model) is not self.model.optimizer
        if not scaled or self._overflows > OVERFLOWS:
            raise NonFinite(self._advice(f"Loss is NaN or infinite at step {self.step} ({loss})"))

    def _advice(self, what: str) -> str:
        kept = f"{self.last} is of an earlier step" if self.last.exists() else "Nothing was saved"
        return (
            f"{what}. {kept}. Try a lower learning rate, warm-up, gradient clipping or float32; "
            "check the images and masks."
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self._add_row()
        if "val_miou" in logs:
            self.history.add_scores(logs)
        self.validation_due = False
        if self.writes:
            self._save_model(validated="val_miou" in logs)
            self.save()
            with atomic_write(self.folder / "curve.png") as path:
                plot_history(self.history.rows, path)

    def _save_model(self, validated: bool) -> None:
        if validated and self.history.since_best() == 0:
            name = "best.weights.h5"
        elif base_optimizer(self.model).use_ema and not self.history.validations():
            name = "averaged.weights.h5"
        else:
            return
        with averaged_weights(self.model):
            save_keras_weights(self.model, self.folder / name)

    def save(self) -> None:
        """Writes the history and, after it, `last.weights.h5`.

        Raises:
            NonFinite: When a weight is NaN or infinite; the previous file is kept.
            OSError: When the file cannot be written; the previous file is kept.
        """
        if not self.writes:
            return
        for weight in self.model.weights:
            if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
                raise NonFinite(
                    self._advice(f"{weight.path} is NaN or infinite after step {self.step}")
                )
        try:
            self._write()
        except (OSError, RuntimeError) as error:  # h5py raises either on a full disk
            raise OSError(
                f"{self.last} was not written at step {self.step} ({error}). The previous file "
                "is kept: free disk space and resume."
            ) from error

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.history.write(self.folder / "history.csv")
        # Without weights, a record is left from a run that could not save any.
        if self.record is not None and not self.last.exists():
            write_json(self.folder / RUN_RECORD, self.record)
        with atomic_write(self.last) as path:
            self.model.save_weights(path)
            with h5py.File(path, "a") as file:
                state = file.create_group(STATE)
                state.attrs.update(
                    step=self.step,
                    losses=np.array(self._losses),
                    overflows=self._overflows,
                    validation_due=self.validation_due,
                    frozen=json.dumps(frozen_layers(self.model)),
                )
                for layer in _random_layers(self.model):
                    # Position in the random sequence of dropout.
                    state[layer.name] = keras.ops.convert_to_numpy(layer.seed_generator.state)

    def _add_row(self) -> None:
        if not self._losses:
            return
        rate = float(self.model.optimizer.learning_rate)
        self.history.add(self.step, sum(self._losses) / len(self._losses), rate)
        self._losses = []


def saved_frozen(last: pathlib.Path) -> set[str]:
    """Names of the layers that were frozen in the run that a `last.weights.h5` is of.

    They cannot be told from its weights: those of a fresh head are trained by then.
    """
    with h5py.File(last) as file:
        frozen = file[STATE].attrs.get("frozen")
    if frozen is None:
        raise InputError(
            f"{last} was saved by an earlier version of keras_deeplab, which froze other layers. "
            "Start a new run with --init from its weights."
        )
    return set(json.loads(frozen))


def _random_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if hasattr(layer, "seed_generator")]
