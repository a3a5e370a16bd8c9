"""The weights file of a zoo entry: bundled, or fetched, converted and cached."""

from keras_deeplab._internal.files import atomic_write, file_sha256
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.inspection import build_for
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.downloads.cache import locked, storage_errors
from keras_deeplab.downloads.fetch import fetch
from keras_deeplab.zoo.manifest import bundled_weights, cached_weights, read_backbones


def trained_weights(name, entry):
    """Path of the `.weights.h5` file of a zoo entry.

    A published checkpoint is fetched, its hash checked, and converted once; the converted file is
    trusted only with its own SHA-256 beside it, so that neither a kill nor a damaged disk can make
    a later call load wrong weights.

    Args:
        name: Zoo name.
        entry: The entry, see `info`.

    Raises:
        CheckpointError: When the entry's weights are not public, altered, or do not fit.
        DownloadError: When a file cannot be had or stored.
    """
    if entry["status"] == "bundled":
        return bundled_weights(entry)
    if entry["status"] == "not_public":
        raise CheckpointError(f"{name}: {entry['unavailable']}")
    target = cached_weights(name, entry)
    if is_intact(target):
        return target
    record = entry["weights"]
    checkpoint = fetch(record["url"], record["sha256"], size=record["bytes"])
    with storage_errors(target), locked(target):
        if not is_intact(target):  # else another process was quicker
            _convert(checkpoint, entry, target)
    return target


def imagenet_backbone(depth):
    """Path of the published `.pth` file of a ResNet v1c backbone, fetched if need be."""
    record = read_backbones()[f"resnet{depth}_v1c"]
    return fetch(record["url"], record["sha256"], size=record["bytes"])


def is_intact(target):
    """Whether a converted file has the SHA-256 noted beside it."""
    stamp = stamp_of(target)
    return target.is_file() and stamp.is_file() and stamp.read_text() == file_sha256(target)


def stamp_of(target):
    """The file that holds the SHA-256 of a converted one."""
    return target.with_name(f"{target.name}.sha256")


def _convert(checkpoint, entry, target):
    model = build_for(checkpoint, entry["variant"])
    classes = model.get_layer("decode_head-conv_seg").filters
    if classes != len(entry["classes"]):
        raise CheckpointError(
            f"{checkpoint} has {classes} classes, the manifest {len(entry['classes'])}."
        )
    stamp_of(target).unlink(missing_ok=True)  # never beside a file it does not describe
    save_keras_weights(model, target)
    with atomic_write(stamp_of(target)) as path:
        path.write_text(file_sha256(target))
