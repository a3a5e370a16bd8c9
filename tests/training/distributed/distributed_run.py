"""A short training under a strategy: `distributed_run.py mirrored|multiworker MODEL RESULT.npz`."""

import contextlib
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from device_losses import losses_of_devices
from reference import golden
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab.training.distributed.multiworker_fit import patch_fit
from keras_deeplab.training.distributed.strategies import distributed, make_strategy


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
    """The images of the second of two workers are so dark that they look as if scaled to 0..1."""
    return [
        (
            golden.make_image_u8(f"validation {index}", *size) / np.float32([1, 255, 1][index]),
            golden.make_label(f"validation {index}", 1, *size, 3)[0].astype("uint8"),
        )
        for index, size in enumerate(((40, 56), (33, 64), (48, 32)))
    ]


def make_model(name):
    """`tiny`, or a variant, compiled."""
    options = {"aux_head": True, "dropout": 0.0, "sync_batch_norm": True}
    keras.utils.set_random_seed(0)
    model = tiny_model(3, **options) if name == "tiny" else kd.build(name, 3, **options)
    rate = 0.1 if name == "tiny" else 1e-3  # at which two steps do not magnify rounding
    recipe = kd.Recipe(steps=2, batch_size=4, crop=64, learning_rate=rate)
    return kd.compile_for_training(model, recipe)


def train(strategy, name="tiny"):
    """Trains two steps.

    Returns:
        The model, the running means of the loss, and the logs of an epoch's end.
    """
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        model = make_model(name)
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


def findings(model, losses, history):
    """Arrays by name for `assert_same_training`; scores of all devices and of this process."""
    alone = [
        kd.evaluate(model, validation(), num_classes=3, flip=flip).result()["mIoU"]
        for flip in (False, True)
    ]
    return {
        "losses": losses,
        "shared": [history["val_miou"][0], history["val_miou_flip"][0]],
        "alone": alone,
        **{f"weights {key}": value for key, value in weights_of(model).items()},
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


def outputs(processes, timeout=600):
    """What processes wrote to their pipes; none of them is left, whatever happens.

    The limit ends a run that hangs. A healthy one takes a tenth of it on a busy machine.
    """
    try:
        return [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def assert_same_training(model, losses, result):
    """Losses and weights, the `findings` of devices, equal those of one device but for rounding.

    The steps of variants magnify rounding to 1.2e-5, more with other kernels of the processor. What
    is not shared differs by 1e-2.
    """
    np.testing.assert_allclose(result["losses"], losses, rtol=0, atol=1e-5)
    weights = weights_of(model)
    assert len(weights) == sum(key.startswith("weights ") for key in result.files)
    for key, weight in weights.items():
        allowed = 1e-4 * max(1, np.abs(weight).max())
        np.testing.assert_allclose(
            result[f"weights {key}"], weight, rtol=0, atol=allowed, err_msg=key
        )


def main(kind, name, path):
    if kind == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    strategy = make_strategy(kind)
    found = findings(*train(strategy, name))
    if kind == "mirrored":
        found["values"], found["slopes"] = losses_of_devices(strategy)
    np.savez(path, replicas=strategy.num_replicas_in_sync, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
