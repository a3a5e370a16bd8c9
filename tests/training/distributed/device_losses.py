"""Losses of a batch whose halves lie on two devices, nearly all of one half ignored."""

import numpy as np
import tensorflow as tf

from keras_deeplab.training.losses import OhemCrossentropy, make_loss

SPECS = ({"crossentropy": 1}, {"focal": 1}, {"crossentropy": 1, "dice": 2, "lovasz": 3})


def batch():
    """Labels and logits of four images."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (4, 5, 6)).astype("uint8")
    labels[:2][rng.random((2, 5, 6)) < 0.9] = 255
    return labels, rng.standard_normal((4, 5, 6, 3)).astype("float32")


def losses_and_slopes(labels, logits):
    """The value of every loss, and the gradient of their sum by the logits."""
    losses = [
        make_loss(spec, class_weights=(1, 2, 3), divide_by=divide_by)
        for spec in SPECS
        for divide_by in ("all", "valid")
    ]
    losses.append(OhemCrossentropy(threshold=0.1, min_kept=10))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = tf.stack([loss(labels, logits) for loss in losses])
    return values, tape.gradient(values, logits)


def losses_of_devices(strategy):
    """`losses_and_slopes` of the batch, its parts on the devices of a strategy; NumPy arrays."""
    parts = (
        strategy.experimental_distribute_values_from_function(
            lambda context, array=array: tf.constant(
                np.split(array, context.num_replicas_in_sync)[context.replica_id_in_sync_group]
            )
        )
        for array in batch()
    )
    values, slopes = strategy.run(tf.function(losses_and_slopes), args=tuple(parts))
    return (
        strategy.reduce("SUM", values, axis=None).numpy(),
        np.concatenate(strategy.experimental_local_results(slopes)),
    )
