"""What a worker of two does: `worker_run.py RESULT.npz`; prints a JSON line per finding.

Started by `test_multiworker.py` with a `TF_CONFIG`. In the end worker 1 kills itself.
"""

import json
import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf
from distributed_run import batches, findings, train
from recipe_steps import OF_WORKERS, all_steps

from keras_deeplab.training.distributed.multiworker_fit import patch_fit
from keras_deeplab.training.distributed.strategies import (
    among_workers,
    distributed,
    is_chief,
    make_strategy,
    sum_over_workers,
    worker_share,
)

IMAGES = np.random.default_rng(0).random((8, 8, 8, 3)).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 3, (8, 8, 8)).astype("uint8")


def say(name, value):
    print(json.dumps({name: value}), flush=True)


def plain_model(strategy):
    """A model as Keras has it."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                keras.layers.Conv2D(4, 3, padding="same"),
                keras.layers.BatchNormalization(synchronized=True),
                keras.layers.Conv2D(3, 1),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=False)
    return model


def error_of_fit(model, strategy):
    def parts(workers, worker):
        data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
        return data.batch(4 // workers, drop_remainder=True).shard(workers, worker).repeat()

    try:
        fit(model, distributed(strategy, parts))
    except Exception as error:
        return str(error)[:200]
    return None


def fit(model, data, **options):
    model.fit(data, steps_per_epoch=2, shuffle=False, verbose=0, **options)


def main(path):
    strategy = make_strategy("multiworker")
    workers, worker = worker_share(strategy)
    say("share", [workers, worker, is_chief(strategy)])
    say("sum", sum_over_workers(strategy, np.array([[2**60 + worker, 1]])).tolist())

    # --- Keras as it is, then with only the first of the two things mended ---
    model = plain_model(strategy)
    say("plain", error_of_fit(model, strategy))
    train_step = model.train_step
    patch_fit(model)
    model.train_step = train_step
    say("built", error_of_fit(model, strategy))

    model, losses, history = train(strategy)
    cases = all_steps(OF_WORKERS, {"workers": strategy})
    np.savez(path, **findings(model, losses, history), **cases)

    def die(batch, logs=None):
        if batch == 1 and worker == 1:
            os.kill(os.getpid(), signal.SIGTERM)  # left to the chief: nothing happens
            say("outlived SIGTERM", True)
            os.kill(os.getpid(), signal.SIGKILL)

    with among_workers(strategy):
        callback = keras.callbacks.LambdaCallback(on_train_batch_end=die)
        fit(model, distributed(strategy, batches), epochs=3, callbacks=[callback])


if __name__ == "__main__":
    main(sys.argv[1])
