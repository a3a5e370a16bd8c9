"""Layers that a weights file could not set, as long as they have their random weights."""

import hashlib
from collections.abc import Iterable

import keras


def note_fresh_layers(model: keras.Model, names: Iterable[str]) -> None:
    """Notes the names of the layers that start from random weights, and these weights."""
    model.fresh_layers = frozenset((name, _fingerprint(model.get_layer(name))) for name in names)


def fresh_layers(model: keras.Model) -> set[str]:
    """Names of the noted layers whose weights were neither trained nor loaded since."""
    noted: Iterable[tuple[str, str]] = getattr(model, "fresh_layers", ())
    return {name for name, start in noted if _fingerprint(model.get_layer(name)) == start}


def _fingerprint(layer: keras.layers.Layer) -> str:
    digest = hashlib.sha256()
    for weight in layer.weights:
        digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    return digest.hexdigest()
