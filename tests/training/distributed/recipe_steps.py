"""Steps of the tiny network under recipes that differ in every field of a step.

`recipe_steps.py RESULT.npz` makes them on one device and on two.
"""

import contextlib
import sys

import keras
import numpy as np
import tensorflow as tf
from reference import golden
from tiny import tiny_model, with_statistics

import keras_deeplab as kd
from keras_deeplab.training.distributed.multiworker_fit import patch_fit
from keras_deeplab.training.distributed.strategies import distributed, make_strategy

STEPS, SIZE = 4, 32
BASE = {"steps": STEPS, "batch_size": 4, "learning_rate": 0.1, "end_learning_rate": 0.05}
CASES = {
    "published": {"weight_decay": 0.1},
    "rates": {
        **{"schedule": "cosine", "warmup": 2, "weight_decay": 0.1, "backbone_lr_factor": 0.1},
        "clip_norm": 0.02,
    },
    "losses": {
        "loss": {"crossentropy": 1.0, "ohem": 1.0, "focal": 5.0, "dice": 1.0, "lovasz": 1.0},
        "ohem_min_kept": 300,
    },
    "valid pixels": {"divide_by": "valid", "class_weights": (1.0, 2.0, 5.0)},
    "frozen": {"freeze": "stem", "freeze_batch_norm": True},
    "adamw": {
        **{"optimizer": "adamw", "learning_rate": 0.02, "end_learning_rate": 0.01},
        **{"weight_decay": 0.1, "backbone_lr_factor": 0.1},
        **{"accumulate": 2, "clip_norm": 0.02, "ema": 0.5},
    },
    "accumulate": {"accumulate": 2, "clip_norm": 0.02, "ema": 0.5},
    # Dtype policy of the cases; their second batch overflows on the second device.
    "mixed_float16": {"freeze_batch_norm": True, "clip_norm": 0.02},
    "mixed_float16, accumulated": {"freeze_batch_norm": True, "accumulate": 2},
}
OF_WORKERS = ("accumulate", "mixed_float16")


def batches(workers, worker, overflow):
    """All batches; the parts of a batch have very different numbers of valid pixels."""
    count = 4 * STEPS
    images = np.stack([golden.make_image_u8(f"step {i}", SIZE, SIZE) for i in range(count)])
    labels = golden.make_label("steps", count, SIZE, SIZE, 3).astype("uint8")
    labels[::4, 1:] = labels[1::4, 5:] = 255
    images = images.astype("float32")
    if overflow:
        images[7] *= 1e6  # in the second half of the second batch
    parts = tf.data.Dataset.from_tensor_slices((images, labels))
    return parts.batch(4 // workers, drop_remainder=True).shard(workers, worker)


def steps(name, strategy):
    """Arrays by name: the loss of every step, and all variables of model and optimizer."""
    losses = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: model.reset_metrics(),
        on_train_batch_end=lambda batch, logs: losses.append(float(logs["loss"])),
    )
    float16 = name.startswith("mixed_float16")
    keras.config.set_dtype_policy("mixed_float16" if float16 else "float32")
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        model = with_statistics(tiny_model(3, dropout=0.0, sync_batch_norm=True))
        kd.compile_for_training(model, kd.Recipe(**{**BASE, **CASES[name]}))
    keras.config.set_dtype_policy("float32")
    model.run_eagerly = strategy is None  # compiling takes longer than a few steps
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        patch_fit(model)
    model.optimizer.finalize_variable_values = lambda variables: None  # keep weights and averages
    data = distributed(strategy, lambda *share: batches(*share, float16))
    model.fit(data, steps_per_epoch=STEPS, shuffle=False, verbose=0, callbacks=[watch])
    found = {"losses": np.array(losses)}
    for index, variable in enumerate(model.variables + model.optimizer.variables):
        if "seed_generator" not in variable.path:
            found[f"{index} {variable.name}"] = keras.ops.convert_to_numpy(variable)
    return found


def all_steps(names, kinds):
    """`steps` of the cases; `kinds` are strategies by name, which starts the names of arrays."""
    return {
        f"{kind}/{name}/{key}": value
        for name in names
        for kind, strategy in kinds.items()
        for key, value in steps(name, strategy).items()
    }


def arrays_of(saved, kind, name):
    """What `steps` returned for a case, from a file of `all_steps`."""
    start = f"{kind}/{name}/"
    return {key.removeprefix(start): saved[key] for key in saved.files if key.startswith(start)}


def assert_same_steps(one, several):
    """Equal but for rounding in another order of summation; it was 4e-7 on two devices."""
    assert one.keys() == several.keys() and len(one) > 1
    for key, value in one.items():
        allowed = 1e-5 * max(1, np.abs(value).max())
        np.testing.assert_allclose(several[key], value, rtol=0, atol=allowed, err_msg=key)


def main(path):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    np.savez(path, **all_steps(CASES, {"one": None, "two": make_strategy("mirrored")}))


if __name__ == "__main__":
    main(sys.argv[1])
