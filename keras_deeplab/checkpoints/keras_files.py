"""Weights in Keras's own files, `.weights.h5` and `.keras`, read and written by layer name.

Keras stores the name of every layer with its variables. Reading by that name rather than by
Keras's numbered groups (`conv2d_17`) keeps a file valid for the same network without an auxiliary
head. Arrays are read, and the name of the model: no links out of the file are followed, and nothing
is deserialised or executed.
"""

import contextlib
import io
import json
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import keras

from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.matching import AUXILIARY_HEAD, BACKBONE, Match, Target

ARCHIVE_MEMBER = "model.weights.h5"  # the weights within a .keras file
MAX_RATIO = 8  # of their compression; Keras itself does not compress
CONFIG_MEMBER = "config.json"
MAX_CONFIG_BYTES = 2**24  # that of an r101 has 0.4 MB

_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError)


@contextlib.contextmanager
def match_keras_file(model: keras.Model, path: StrPath) -> Iterator[Match]:
    """The arrays of a `.weights.h5` or `.keras` file next to the variables of a model.

    A file of a backbone alone leaves the heads of the model aside.

    Raises:
        CheckpointError: When the file cannot be read.
    """
    targets = {
        f"{layer.name}/{index}": Target(layer.name.replace("-", "."), variable)
        for layer in model.layers
        for index, variable in enumerate(layer.weights)
    }
    ignored = f"{AUXILIARY_HEAD}-"
    has_auxiliary = any(name.startswith(ignored) for name in targets)
    with _open_arrays(pathlib.Path(path)) as datasets:
        arrays = {
            name: data
            for name, data in datasets.items()
            if has_auxiliary or not name.startswith(ignored)
        }
        match = Match(str(path), f"model {model.name!r}", targets, arrays)
        alone = arrays and all(name.startswith(f"{BACKBONE}-") for name in arrays)
        yield match.of_backbone() if alone else match


def kernel_shapes(path: StrPath) -> dict[str, tuple[int, ...]]:
    """Shapes `(height, width, in, out)` of the kernels by reference name of their layer."""
    with _open_arrays(pathlib.Path(path)) as datasets:
        return {
            name.rpartition("/")[0].replace("-", "."): data.shape
            for name, data in datasets.items()
            if data.ndim == 4
        }


def model_name(path: StrPath) -> str | None:
    """Name of the model in the configuration of a `.keras` file, read as JSON and nothing more."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(CONFIG_MEMBER).file_size > MAX_CONFIG_BYTES:
                raise CheckpointError(f"{path}: {CONFIG_MEMBER} is too large.")
            config = json.loads(archive.read(CONFIG_MEMBER))
        name = config["config"]["name"]
    except CheckpointError:
        raise
    except (*_UNREADABLE, ValueError, RecursionError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path}: {CONFIG_MEMBER} cannot be read: {error!r}.") from error
    return name if isinstance(name, str) else None


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
def _open_arrays(path: pathlib.Path) -> Iterator[dict[str, h5py.Dataset]]:
    """`layer name/index` -> HDF5 dataset, for all layers of a weights file."""
    with contextlib.ExitStack() as stack:
        try:
            source = io.BytesIO(_archived_weights(path)) if path.suffix == ".keras" else path
            datasets = _datasets_by_layer(stack.enter_context(h5py.File(source)), path)
        except CheckpointError:
            raise
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} does not exist.") from error
        except _UNREADABLE as error:
            raise CheckpointError(f"{path} cannot be read as Keras weights: {error}.") from error
        yield datasets


def _archived_weights(path: pathlib.Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        size, limit = archive.getinfo(ARCHIVE_MEMBER).file_size, MAX_RATIO * path.stat().st_size
        if size > limit:
            raise CheckpointError(
                f"{path}: {ARCHIVE_MEMBER} unpacks to {size} bytes, more than {MAX_RATIO} times "
                "the size of the file."
            )
        return archive.read(ARCHIVE_MEMBER)


def _datasets_by_layer(file: h5py.File, path: StrPath) -> dict[str, h5py.Dataset]:
    if "layers" not in file:
        raise CheckpointError(
            f"{path} is not a weights file of Keras 3: it has no HDF5 group 'layers'."
        )
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
