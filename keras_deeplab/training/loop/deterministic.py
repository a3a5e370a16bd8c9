"""Gradients that are the same from run to run."""

import contextlib


@contextlib.contextmanager
def deterministic_gradients():
    """Within it, TensorFlow adds gradients up in a fixed order; what it compiled before is not met.

    Without it, runs of larger graphs differed in the last bits of their gradients, and no longer
    with TensorFlow's graph optimizers off. Its memory optimizer, which adds up three or more
    gradients as they come, can only be turned off together with the others.
    """
    import tensorflow as tf

    option = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    tf.config.optimizer.set_experimental_options({option: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
