"""The weights file of a zoo entry: bundled, or fetched, converted and cached."""

import pathlib

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.downloads.cache import is_intact, locked, stamp, stamp_of, storage_errors
from keras_deeplab.downloads.fetch import fetch, fetch_unhashed
from keras_deeplab.zoo import manifest
from keras_deeplab.zoo.manifest import Entry, Zoo, cached_weights


def trained_weights(zoo: Zoo, name: str) -> pathlib.Path:
    """Path of the `.weights.h5` file of a zoo entry.

    A published checkpoint is fetched, its hash checked, and converted once. The converted file is
    trusted only if its SHA-256 matches the one noted next to it, so that neither a kill nor a
    damaged disk can make a later call load wrong weights.

    Args:
        zoo: `Zoo` of the entry.
        name: Zoo name.

    Raises:
        ValueError: For an unknown name.
        CheckpointError: When the entry's weights are not public, altered, or do not fit.
        DownloadError: When a file cannot be fetched or stored.
    """
    entry = zoo.entry(name)
    if entry["status"] == "bundled":
        return zoo.bundled_weights(entry["weights"])
    check_public(name, entry)
    target = cached_weights(name, entry)
    if is_intact(target):
        return target
    checkpoint = _fetched(entry["weights"])
    with storage_errors(target), locked(target):
        if not is_intact(target):  # else another process was quicker
            _convert(checkpoint, entry, target)
    return target


def check_public(name: str, entry: Entry) -> None:
    """Raises a `CheckpointError` for an entry without public weights; says why."""
    if entry["status"] == "not_public":
        raise CheckpointError(f"{name}: {entry['unavailable']}")


def imagenet_backbone(name: str) -> pathlib.Path:
    """Path of the ImageNet weights of a backbone of `BACKBONES`: bundled, or fetched if need be."""
    zoo = manifest.default_zoo()
    record = zoo.backbone(name)
    if "file" in record:
        return zoo.bundled_weights(record)
    return _fetched(record)


def _fetched(record: Entry) -> pathlib.Path:
    """The published file of a record with URL."""
    if record["sha256"] is not None:
        return fetch(record["url"], record["sha256"], size=record["bytes"])
    from keras_deeplab.checkpoints.tensorflow.reader import read_tensorflow_checkpoint

    return fetch_unhashed(record["url"], read_tensorflow_checkpoint, size=record["bytes"])


def _convert(checkpoint: pathlib.Path, entry: Entry, target: pathlib.Path) -> None:
    # These need Keras, which takes seconds to import.
    from keras_deeplab.checkpoints.inspection import build_for
    from keras_deeplab.checkpoints.keras_files import save_keras_weights

    model = build_for(checkpoint, entry["variant"])
    classes = model.get_layer("decode_head-conv_seg").filters
    if classes != len(entry["classes"]):
        raise CheckpointError(
            f"{checkpoint} has {classes} classes, the manifest {len(entry['classes'])}."
        )
    stamp_of(target).unlink(missing_ok=True)  # never next to a file it does not describe
    save_keras_weights(model, target)
    stamp(target)
