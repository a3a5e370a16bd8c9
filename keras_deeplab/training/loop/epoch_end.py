"""What happens between two epochs of a run: validation, and the end for want of progress."""

import keras

from keras_deeplab.training.loop.averaging import averaged_weights


class Validation(keras.callbacks.Callback):
    """Validates the averaged weights, where there are any; a signal does not wait for the end."""

    def __init__(self, scores, interruption):
        super().__init__()
        self.scores = scores
        self.interruption = interruption

    def on_epoch_end(self, epoch, logs=None):
        self.scores.set_model(self.model)
        with averaged_weights(self.model), self.interruption.at_once():
            self.scores.on_epoch_end(epoch, logs)


class Patience(keras.callbacks.Callback):
    """Ends a run that no longer improves; unlike Keras's, it lives through a resume."""

    def __init__(self, history, patience):
        super().__init__()
        self.history = history
        self.patience = patience

    def is_over(self):
        return self.patience is not None and self.history.since_best() >= self.patience

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = self.is_over()


def end_epoch(model, callbacks):
    """The validation of a run that was ended before it."""
    logs = {}
    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
        callback.on_epoch_end(0, logs)
