"""A run of the tiny network in a process of its own: `tiny_run.py FOLDER`.

Resumes what the folder holds, if anything. Prints `begun`, and a line after every step.
"""

import pathlib
import sys

import keras
from training.loop.test_train import PLAIN, run

import keras_deeplab as kd


def main(folder):
    print("begun", flush=True)
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: print("step", flush=True)
    )
    run(
        folder,
        resume=(folder / "last.weights.h5").exists(),
        recipe=kd.Recipe(**PLAIN, learning_rate=0.05, ema=0.5),
        save_every=1,
        callbacks=[watch],
    )


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
