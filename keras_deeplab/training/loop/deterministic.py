"""Gradients that are identical from run to run."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def deterministic_gradients() -> Iterator[None]:
    """Makes TensorFlow sum gradients in a fixed order; functions traced before are not affected.

    Without it, runs of larger graphs differ in the last bits of their gradients; with TensorFlow's
    graph optimizers off, they do not. The memory optimizer, which sums three or more gradients in
    the order of their completion, can only be turned off together with the others.
    """
    import tensorflow as tf

    option = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(option, False)
    tf.config.optimizer.set_experimental_options({option: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({option: before})
