"""What is compiled for inference: a Keras model, a `.keras` file, a zoo name or a run folder."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import sys
import typing
import zipfile
from collections.abc import Callable

from keras_deeplab import __version__
from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.runtimes.predictor import Network
from keras_deeplab.runtimes.registry import RUNTIMES
from keras_deeplab.zoo.finding import find_model

if typing.TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A model that can be compiled; Keras is imported only to load it.

    A Keras model is copied: the source has the weights of now.

    Args:
        network: `Network`.
        configuration: Text that differs for other networks.
        weights_sha256: Function that returns a SHA-256 that identifies the weights.
        load_model: Function that returns the Keras model, in float32.
        check_image: An image of the kind that the model is for; `None` where there is none.
        size: Height and width of the images that it takes; `None` where any will do.
    """

    network: Network
    configuration: str
    weights_sha256: Callable[[], str]
    load_model: Callable[[], keras.Model]
    check_image: pathlib.Path | None = None
    size: tuple[int | None, int | None] = (None, None)

    @functools.cached_property
    def key(self) -> str:
        """Name of the model in the cache; a new version of this package converts models again."""
        text = json.dumps([__version__, self.configuration, self.weights_sha256()])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @functools.cached_property
    def float32_model(self) -> keras.Model:
        """The Keras model in float32; loaded once."""
        return self.load_model()


def find_source(model: keras.Model | StrPath) -> ModelSource:
    """The `ModelSource` of a Keras model, a `.keras` file, a zoo name or the folder of a run.

    Raises:
        ValueError: When it is none of these, is a converted file, or does not output logits.
    """
    if not isinstance(model, (str, os.PathLike)):
        if "keras" not in sys.modules or not isinstance(model, sys.modules["keras"].Model):
            raise InputError(
                f"Expected a Keras model, a zoo name, a run folder or a model file, got {model!r}."
            )
        return _source_of_keras_model(model)
    model = os.fspath(model)
    if model.endswith(".keras"):
        return _source_of_keras_model(_read_keras_file(model))
    if pathlib.Path(model).suffix.lower() in {known.suffix for known in RUNTIMES.values()}:
        raise InputError(f"{model} is converted already: export the model that it was made from.")
    trained = find_model(model)
    metadata = trained.metadata
    network = Network(
        name=metadata.name or model,
        metadata=metadata,
        channels=metadata.num_channels,
        classes=len(metadata.classes),
        normalises=metadata.mean is not None,
    )

    sha256 = functools.cache(trained.sha256)
    record = {**metadata.to_json(), "name": None}  # the same weights under another name

    def load_model() -> keras.Model:
        from keras_deeplab.zoo.loader import load

        known = sha256()
        loaded = load(model, dtype="float32")
        if trained.sha256() != known:  # else they would be kept under the key of the old ones
            raise InputError(
                f"The weights in {model} changed since it was compiled: its training may be "
                "running. Compile it again."
            )
        return loaded

    return ModelSource(network, json.dumps(record), sha256, load_model, trained.check_image)


def _source_of_keras_model(model: keras.Model) -> ModelSource:
    from keras_deeplab.runtimes.keras_runtime import describe_network, float32_copy, weights_sha256

    network = describe_network(model)
    copy = float32_copy(model)  # sizes are compiled later, when its weights may have changed
    configuration = network.to_json() + copy.to_json()
    if _has_other_code(configuration):  # which may change without a trace in the configuration
        configuration += os.urandom(16).hex()

    digest = functools.cache(functools.partial(weights_sha256, copy))
    size = model.input_shape[1:3]
    return ModelSource(network, configuration, digest, lambda: copy, size=size)


def _has_other_code(configuration: str) -> bool:
    """Whether a model has layers or functions that are not of Keras or of this package."""
    modules = re.findall(r'"module": "?(\w+)', configuration)
    return "__lambda__" in configuration or not {"keras", "keras_deeplab"}.issuperset(modules)


def _read_keras_file(path: StrPath) -> keras.Model:
    import keras

    if not pathlib.Path(path).is_file():
        raise InputError(f"{path} does not exist.")
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a Keras model: {error}") from error
