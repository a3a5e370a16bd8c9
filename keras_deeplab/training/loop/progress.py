"""Progress bar of a training: loss, steps per second and remaining time."""

import sys
from typing import Any

import keras
import tqdm


class ProgressBar(keras.callbacks.Callback):
    """One bar over all steps; in a log file, a line every 30 seconds.

    Args:
        steps: Steps of the whole run.
        start: Steps already done.
    """

    def __init__(self, steps: int, start: int = 0) -> None:
        super().__init__()
        self.bar = tqdm.tqdm(
            total=steps,
            initial=start,
            unit="step",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        scores = [f"{name} {logs[name]:.4f}" for name in logs if name.startswith("val_")]
        if scores:
            self.bar.write(f"step {self.bar.n}: {', '.join(scores)}", file=sys.stderr)

    def close(self) -> None:
        """Ends the bar at its current state."""
        self.bar.close()
