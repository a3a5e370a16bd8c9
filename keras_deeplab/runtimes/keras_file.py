"""A `.keras` file as a format to export to: Keras's own, with our record next to its parts."""

from __future__ import annotations

import pathlib
import typing
import zipfile

if typing.TYPE_CHECKING:
    import keras

    from keras_deeplab.runtimes.predictor import Engine

RECORD = "keras_deeplab.json"  # Keras ignores further parts of the archive


def convert(model: keras.Model, size: tuple[int, int] | None, path: pathlib.Path) -> None:
    """Writes a Keras model; it takes every size that it was built for."""
    model.save(path)


def write_record(path: pathlib.Path, record: str) -> None:
    """Adds the record to a file."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(RECORD, record)


def read_record(path: pathlib.Path) -> str | None:
    """The record that `write_record` was given; `None` for a file of another tool."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(RECORD).decode() if RECORD in archive.namelist() else None


def compile_file(path: pathlib.Path, size: tuple[int, int], precision: str) -> Engine:
    """The model of a file as a function of images."""
    import keras

    from keras_deeplab.runtimes.keras_runtime import logits_function

    model = keras.saving.load_model(path, compile=False)
    return lambda images: logits_function(model)(images)  # it does not keep its model alive
