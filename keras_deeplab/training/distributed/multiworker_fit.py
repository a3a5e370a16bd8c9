"""Workarounds for Keras's `fit` under `tf.distribute.MultiWorkerMirroredStrategy`.

Keras 3.15 fails there in two places. Before the first step it builds the model from a batch, which
it tries to assemble from the parts of all workers: "Attempt to convert a value (PerReplica...) with
an unsupported type to a Tensor". After a step it averages the results of the workers along their
first axis, which scalars do not have: "Invalid reduction dimension 0 for input with 0 dimensions".
A test fails when Keras no longer needs the workarounds.
"""

from collections.abc import Callable
from typing import Any

import keras


def patch_fit(model: keras.Model) -> keras.Model:
    """Makes `model.fit` and `model.evaluate` work under a multi-worker strategy.

    Builds what Keras would build from the first batch, and adds an axis to the results of a step.

    Args:
        model: Compiled functional model with one input, created under the scope of the strategy.
            Its labels have the shape of the input without channels.

    Returns:
        The model.
    """
    import tensorflow as tf

    (images,) = model.inputs
    labels = keras.KerasTensor(images.shape[:-1], "uint8")
    with model.distribute_strategy.scope():
        model._symbolic_build(data_batch=(images, labels))
        model.optimizer.build(model.trainable_variables)
    model._maybe_symbolic_build = lambda iterator=None, data_batch=None: None

    def with_axis(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda data: tf.nest.map_structure(lambda v: tf.reshape(v, (1,)), step(data))

    model.train_step = with_axis(model.train_step)
    model.test_step = with_axis(model.test_step)
    return model
