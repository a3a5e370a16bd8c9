"""TensorFlow's SavedModel: a folder that TensorFlow and its servers load."""

from __future__ import annotations

import pathlib
import typing

import numpy as np

if typing.TYPE_CHECKING:
    import keras

    from keras_deeplab.runtimes.predictor import Engine

RECORD = "assets.extra/keras_deeplab.json"  # a folder that TensorFlow leaves to others


def convert(
    model: keras.Model,
    size: tuple[int, int] | None,
    path: pathlib.Path,
    *,
    batch: int | None = None,
) -> None:
    """Writes a Keras model as a SavedModel, float32; its signature takes `image`."""
    import tensorflow as tf

    from keras_deeplab.runtimes.keras_runtime import inference_function

    module = tf.Module()
    module.variables_of_model = [variable.value for variable in model.variables]
    function = inference_function(model, size, batch=batch)
    module.logits = tf.function(
        lambda image: {"logits": function(image)}, input_signature=function.input_signature
    )
    try:
        tf.saved_model.save(module, path, signatures=module.logits.get_concrete_function())
    except tf.errors.OpError as error:
        reason = error.message.rpartition("; ")[2]  # after the name of a temporary file
        raise OSError(f"TensorFlow cannot write: {reason}") from error


def write_record(path: pathlib.Path, record: str) -> None:
    """Adds the record to a SavedModel."""
    file = path / RECORD
    file.parent.mkdir(exist_ok=True)
    file.write_text(record, encoding="utf-8")


def read_record(path: pathlib.Path) -> str | None:
    """The record that `write_record` was given; `None` for a folder of another tool."""
    file = path / RECORD
    return file.read_text(encoding="utf-8") if file.is_file() else None


def compile_file(path: pathlib.Path, size: tuple[int, int], precision: str) -> Engine:
    """The signature of a SavedModel as a function of images."""
    import tensorflow as tf

    module = tf.saved_model.load(path)

    def logits(images: np.ndarray) -> np.ndarray:
        signature = module.signatures["serving_default"]  # it does not keep its module alive
        return signature(image=tf.constant(images))["logits"].numpy()

    return logits
