"""TensorFlow without its start-up messages."""

import logging
import os
import sys

from keras_deeplab._internal.import_hooks import around_import
from keras_deeplab._internal.stderr import capture_stderr


def import_tensorflow(first=lambda: None):
    """Imports Keras and TensorFlow for a command, without their start-up messages.

    Args:
        first: Function to call before TensorFlow computes anything.

    Returns:
        What `first` returns.
    """
    _lower_log_levels()
    with capture_stderr():
        import keras
        import tensorflow as tf

        result = first()
        tf.config.list_physical_devices()
        keras.ops.zeros(1)
    return result


def silence_tensorflow():
    """Lets TensorFlow start without messages where a command turns out to need it."""

    def import_keras(execute):
        with capture_stderr():
            execute()
            import tensorflow as tf

            tf.config.list_physical_devices()

    _lower_log_levels()
    if "keras" not in sys.modules:
        around_import("keras", import_keras)


def _lower_log_levels():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)  # of tensorflow-datasets
