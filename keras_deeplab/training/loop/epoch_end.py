"""Callbacks between two epochs of a run: validation and early stopping."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_deeplab.training.callbacks import MeanIoU
from keras_deeplab.training.loop.averaging import averaged_weights
from keras_deeplab.training.loop.history import History
from keras_deeplab.training.loop.interruption import Interruption


class Validation(keras.callbacks.Callback):
    """Validates the averaged weights, if any; a signal interrupts the validation at once."""

    def __init__(self, scores: MeanIoU, interruption: Interruption) -> None:
        super().__init__()
        self.scores = scores
        self.interruption = interruption

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        self.scores.set_model(self.model)
        with averaged_weights(self.model), self.interruption.at_once():
            self.scores.on_epoch_end(epoch, logs)


class Patience(keras.callbacks.Callback):
    """Stops a run that no longer improves; unlike Keras's `EarlyStopping`, it survives a resume."""

    def __init__(self, history: History, patience: int | None) -> None:
        super().__init__()
        self.history = history
        self.patience = patience

    def is_over(self) -> bool:
        """Whether the patience is exhausted."""
        return self.patience is not None and self.history.since_best() >= self.patience

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self.is_over():  # else another callback may have set it
            self.model.stop_training = True


def end_epoch(model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Runs the validation of an epoch that was interrupted before it."""
    logs: dict[str, Any] = {}
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_epoch_end(0, logs)
