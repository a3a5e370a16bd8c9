"""TensorFlow without its start-up messages."""

import logging
import os

from keras_deeplab._internal.stderr import capture_stderr


def import_tensorflow(first=lambda: None):
    """Imports Keras and TensorFlow for a command, without their start-up messages.

    Args:
        first: Function to call before TensorFlow computes anything.

    Returns:
        What `first` returns.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)  # of tensorflow-datasets
    with capture_stderr():
        import keras
        import tensorflow as tf

        result = first()
        tf.config.list_physical_devices()
        keras.ops.zeros(1)
    return result
