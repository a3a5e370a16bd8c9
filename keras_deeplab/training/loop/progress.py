"""The progress bar of a training: loss, rate and time left."""

import sys

import keras
import tqdm


class ProgressBar(keras.callbacks.Callback):
    """One bar over all steps; in a log file, a line every half minute.

    Args:
        steps: Steps of the whole run.
        start: Steps already taken.
    """

    def __init__(self, steps, start=0):
        super().__init__()
        self.bar = tqdm.tqdm(
            total=steps,
            initial=start,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
        )

    def on_train_batch_end(self, batch, logs=None):
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        scores = [f"{name} {logs[name]:.4f}" for name in logs if name.startswith("val_")]
        if scores:
            self.bar.write(f"step {self.bar.n}: {', '.join(scores)}", file=sys.stderr)

    def close(self):
        """Leaves the bar as it is."""
        self.bar.close()
