"""Gradients that are the same from run to run."""

import contextlib


@contextlib.contextmanager
def steady_sums():
    """Within it, TensorFlow adds gradients up in a fixed order; what it compiled before is not met.

    Of a graph that seems to exceed 256 MB, TensorFlow's memory optimizer turns each sum of three
    or more gradients into a buffer that they are added to as they come. They come in any order, and
    the last bits differ. It is one of several optimizers that can only be turned off together;
    without them a step of ours takes neither longer nor more memory.
    """
    import tensorflow as tf

    option = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    tf.config.optimizer.set_experimental_options({option: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
