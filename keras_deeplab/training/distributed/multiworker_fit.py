"""What Keras's `fit` lacks under `tf.distribute.MultiWorkerMirroredStrategy`.

Keras 3.15 fails there twice. Before the first step it builds the model from a batch, which it tries
to make of the parts on all workers: "Attempt to convert a value (PerReplica...) with an unsupported
type to a Tensor". After a step it averages the results over the workers along their first axis,
which scalars do not have: "Invalid reduction dimension 0 for input with 0 dimensions". A test says
when Keras needs this no more.
"""

import keras


def patch_fit(model):
    """Makes `model.fit` and `model.evaluate` work under a multi-worker strategy.

    Builds what Keras would build from the first batch, and gives the results of a step an axis.

    Args:
        model: Functional model with one input, compiled, created under the strategy's scope. It
            learns from labels of the input's shape without channels.

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

    def with_axis(step):
        return lambda data: tf.nest.map_structure(lambda v: tf.reshape(v, (1,)), step(data))

    model.train_step = with_axis(model.train_step)
    model.test_step = with_axis(model.test_step)
    return model
