"""TensorFlow without its start-up messages."""

import contextlib
import logging
import os
import sys
import tempfile


def import_tensorflow():
    """Imports Keras and TensorFlow for a command, keeping their start-up chatter off the screen.

    The messages about CPU features and missing GPUs come from C++ before any log level applies, so
    the error stream itself is held back; it is shown when the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)  # of tensorflow-datasets, on empty folders
    with tempfile.TemporaryFile() as held:
        try:
            with _stderr_to(held):
                import keras
                import tensorflow as tf

                tf.config.list_physical_devices()
                keras.ops.zeros(1)
        except BaseException:
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def _stderr_to(file):
    sys.stderr.flush()
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
