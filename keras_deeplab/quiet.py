"""TensorFlow without its start-up messages."""

import contextlib
import logging
import os
import sys
import tempfile


def import_tensorflow(first=lambda: None):
    """Imports Keras and TensorFlow for a command, keeping their start-up chatter off the screen.

    Args:
        first: Function to call before TensorFlow computes anything.

    Returns:
        What `first` returns.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)  # of tensorflow-datasets
    with held_stderr():
        import keras
        import tensorflow as tf

        result = first()
        tf.config.list_physical_devices()
        keras.ops.zeros(1)
    return result


@contextlib.contextmanager
def held_stderr():
    """Holds back the error stream; shows it when the block fails.

    Messages about CPU features and missing GPUs come from C++ before any log level applies, so the
    stream itself is held.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
