"""Weights in Keras's own files, `.weights.h5` and `.keras`, read and written by layer name.

Keras stores the name of every layer with its variables. Reading by that name rather than by
Keras's numbered groups (`conv2d_17`) keeps a file valid for the same network without an auxiliary
head. Only arrays are read: no configuration, no links out of the file, and nothing is executed.
"""

import contextlib
import io
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import keras
import numpy as np

from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.checkpoints.channels import FIRST_CONVOLUTION, adapt_channels, is_adaptable
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.state_dict import AUXILIARY_PREFIX, report_mismatch

FIRST_KERNEL = f"{FIRST_CONVOLUTION.replace('.', '-')}/0"
ARCHIVE_MEMBER = "model.weights.h5"  # the weights within a .keras file
OPTIMIZER_FACTOR = 8  # size limit of a .keras file with optimizer, in sizes of the model


def load_keras_weights(model: keras.Model, path: StrPath) -> None:
    """Sets every variable of a model from a `.weights.h5` or `.keras` file.

    Args:
        model: Model of `keras_deeplab.build`.
        path: The file. float16 arrays are cast to the dtype of the variables.

    Raises:
        CheckpointError: When the file cannot be read, or lists names that are missing, unexpected
            or of the wrong shape. The model is then unchanged.
    """
    targets = {
        f"{layer.name}/{index}": variable
        for layer in model.layers
        for index, variable in enumerate(layer.weights)
    }
    auxiliary = AUXILIARY_PREFIX.replace(".", "-")
    has_auxiliary = any(name.startswith(auxiliary) for name in targets)
    max_bytes = OPTIMIZER_FACTOR * 4 * model.count_params()
    with _open_weights(pathlib.Path(path), max_bytes) as file:
        datasets = _datasets_by_layer(file, path)
        unexpected = [
            name
            for name in datasets
            if name not in targets and (has_auxiliary or not name.startswith(auxiliary))
        ]
        missing = [name for name in targets if name not in datasets]
        wrong = [
            f"{name} {datasets[name].shape}, expected {tuple(variable.shape)}"
            for name, variable in targets.items()
            if name in datasets and not _fits(name, datasets[name].shape, tuple(variable.shape))
        ]
        report_mismatch(missing, unexpected, wrong, f"{path} does not match model {model.name!r}")
        try:
            arrays = {name: datasets[name][...] for name in targets}
        except OSError as error:
            raise CheckpointError(f"{path} is damaged: {error}.") from error
    for name, variable in targets.items():
        array = arrays[name].astype(np.float32)
        if name == FIRST_KERNEL and is_adaptable(array.shape, tuple(variable.shape), axis=2):
            array = adapt_channels(array, variable.shape[2], axis=2)
        variable.assign(array)


def _fits(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return found == expected or (name == FIRST_KERNEL and is_adaptable(found, expected, axis=2))


def layer_shapes(path: StrPath) -> dict[str, tuple[int, ...]]:
    """`layer name/index` -> shape of every variable in a `.weights.h5` file."""
    path = pathlib.Path(path)
    with _open_weights(path, max_bytes=0) as file:
        return {name: data.shape for name, data in _datasets_by_layer(file, path).items()}


def save_keras_weights(model: keras.Model, path: StrPath, *, dtype: str = "float32") -> None:
    """Writes the weights of a model as `.weights.h5`, without optimizer, atomically.

    Args:
        model: A functional model.
        path: Target, ending in `.weights.h5`; `keras.Model.load_weights` reads it too.
        dtype: `"float32"`, or `"float16"` for half the size; loading casts it back.
    """
    # The same layers, but not compiled: no optimizer is saved.
    uncompiled = keras.Model(model.inputs, model.output, name=model.name)
    with atomic_write(path) as temporary:
        uncompiled.save_weights(temporary)
        if dtype == "float32":
            return
        with (
            atomic_write(temporary) as cast,
            h5py.File(temporary) as source,
            h5py.File(cast, "w") as target,
        ):
            _copy_as(source, target, dtype)


def _copy_as(source: h5py.Group, target: h5py.Group, dtype: str) -> None:
    for name, item in source.items():
        if isinstance(item, h5py.Dataset):
            target.create_dataset(name, data=item[...].astype(dtype))
        else:
            _copy_as(item, target.create_group(name), dtype)
    target.attrs.update(source.attrs)


@contextlib.contextmanager
def _open_weights(path: pathlib.Path, max_bytes: int) -> Iterator[h5py.File]:
    try:
        if path.suffix == ".keras":
            with h5py.File(io.BytesIO(_archived_weights(path, max_bytes))) as file:
                yield file
        else:
            with h5py.File(path) as file:
                yield file
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist.") from error
    except (OSError, zipfile.BadZipFile, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be read as Keras weights: {error}.") from error


def _archived_weights(path: pathlib.Path, max_bytes: int) -> bytes:
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo(ARCHIVE_MEMBER).file_size
        if size > max_bytes:
            raise CheckpointError(
                f"{path}: {ARCHIVE_MEMBER} unpacks to {size} bytes; a file of this model has at "
                f"most {max_bytes}."
            )
        return archive.read(ARCHIVE_MEMBER)


def _datasets_by_layer(file: h5py.File, path: StrPath) -> dict[str, h5py.Dataset]:
    """`layer name/index` -> HDF5 dataset, for all layers of a weights file."""
    layers = _child(file, "layers", h5py.Group, path)
    datasets: dict[str, h5py.Dataset] = {}
    for key in layers:
        variables = _child(_child(layers, key, h5py.Group, path), "vars", h5py.Group, path)
        if len(variables) and "name" not in variables.attrs:
            raise CheckpointError(
                f"{path}: layer {key!r} has no name. Load and save it with Keras 3.8 or newer."
            )
        for index in variables:
            name = f"{variables.attrs['name']}/{index}"
            if name in datasets:
                raise CheckpointError(f"{path} contains {name} twice.")
            datasets[name] = _child(variables, index, h5py.Dataset, path)
    return datasets


def _child(group: h5py.Group, name: str, kind: Any, path: StrPath) -> Any:
    """A member stored in the file itself: links and external storage could read other files."""
    link = group.get(name, getlink=True)
    item = group.get(name) if isinstance(link, h5py.HardLink) else None
    if not isinstance(item, kind):
        raise CheckpointError(
            f"{path} does not contain the HDF5 {kind.__name__.lower()} {group.name}/{name}."
        )
    if kind is h5py.Dataset and (item.external or item.is_virtual or item.dtype.kind not in "fiu"):
        raise CheckpointError(f"{path}: {item.name} is not a plain numeric array.")
    return item
