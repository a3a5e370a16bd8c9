"""A short training under a strategy: `distributed_run.py mirrored|multiworker RESULT.npz`."""

import contextlib
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from reference import golden

import keras_deeplab as kd
from keras_deeplab.prediction.views import logits_function
from keras_deeplab.training.distributed.multiworker_fit import patch_fit
from keras_deeplab.training.distributed.strategies import distributed, make_strategy

RECIPE = kd.Recipe(steps=2, batch_size=4, crop=64, learning_rate=1e-3)


def dataset():
    """Four images, of which three are ignored as a whole."""
    images = np.stack([golden.make_image_u8(f"train {i}", 64, 64) for i in range(4)])
    labels = golden.make_label("train", 4, 64, 64, 3).astype("uint8")
    labels[:3] = 255
    return tf.data.Dataset.from_tensor_slices((images, labels))


def batches(workers, worker):
    return kd.data.training_batches(
        dataset(), batch_size=4, crop=64, seed=3, workers=workers, worker=worker
    )


def validation():
    return [
        (
            golden.make_image_u8(f"validation {index}", *size),
            golden.make_label(f"validation {index}", 1, *size, 3)[0].astype("uint8"),
        )
        for index, size in enumerate(((40, 56), (33, 64), (48, 32)))
    ]


def train(strategy):
    """Trains two steps.

    Returns:
        The model, the running means of the loss, and the logs of an epoch's end.
    """
    keras.utils.set_random_seed(0)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        model = kd.build("r18_d16", 3, aux_head=True, dropout=0.0, sync_batch_norm=True)
        kd.compile_for_training(model, RECIPE)
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        patch_fit(model)
    losses = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"]))
    )
    history = model.fit(
        distributed(strategy, batches),
        steps_per_epoch=2,
        shuffle=False,
        verbose=0,
        callbacks=[watch, kd.callbacks.MeanIoU(validation(), 3, flip=True)],
    ).history
    return model, losses, history


def weights_of(model):
    return {
        variable.path: keras.ops.convert_to_numpy(variable)
        for variable in model.variables
        if not variable.path.startswith("seed_generator")
    }


def start_script(name, *arguments, **environment):
    """Starts a script of this folder with this tree's modules; its output is piped."""
    here = pathlib.Path(__file__).parent
    paths = [str(here.parents[2]), str(here.parents[1]), str(here)]
    return subprocess.Popen(
        [sys.executable, here / name, *arguments],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_same_training(model, losses, result):
    """Losses and weights equal those of one device but for rounding.

    That is 1e-5 for losses and 3e-5 for weights, of 1 or the largest value: sums over halves of a
    batch are rounded otherwise, by up to 1.5e-5 of a moving variance on processors without AVX-512.
    """
    np.testing.assert_allclose(result["losses"], losses, rtol=0, atol=1e-5)
    weights = weights_of(model)
    assert len(weights) == sum(key.startswith("weights ") for key in result.files)
    for key, weight in weights.items():
        allowed = 3e-5 * max(1, np.abs(weight).max())
        np.testing.assert_allclose(
            result[f"weights {key}"], weight, rtol=0, atol=allowed, err_msg=key
        )


def main(name, path):
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    strategy = make_strategy(name)
    model, losses, history = train(strategy)
    alone = [
        kd.evaluate(model, validation(), num_classes=3, flip=flip).result()["mIoU"]
        for flip in (False, True)
    ]
    forward = logits_function(model).__closure__[0].cell_contents
    np.savez(
        path,
        replicas=strategy.num_replicas_in_sync,
        losses=losses,
        shared=[history["val_miou"][0], history["val_miou_flip"][0]],
        alone=alone,
        traces=forward.experimental_get_tracing_count(),
        **{f"weights {key}": value for key, value in weights_of(model).items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
