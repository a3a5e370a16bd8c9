"""The zoo's manifest: one record holds everything needed to use and to judge a weight."""

import functools
import json

from keras_deeplab._internal.files import file_sha256
from keras_deeplab._internal.names import match_names, unknown_name
from keras_deeplab._internal.resources import zoo_dir
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.downloads.cache import cache_dir


@functools.cache
def _read():
    return json.loads((zoo_dir() / "manifest.json").read_text(encoding="utf-8"))


def read_manifest():
    """The manifest's entries by name."""
    return _read()["models"]


def read_backbones():
    """The manifest's ImageNet backbones by name."""
    return _read()["backbones"]


def list_models(pattern="*"):
    """Names of the zoo entries that match a glob, in natural order.

    Args:
        pattern: Glob, for example `"*potsdam"`.
    """
    return match_names(read_manifest(), pattern)


def info(name):
    """A zoo entry as a JSON-serialisable dict.

    Args:
        name: A name of `list_models()`.

    Returns:
        Dict of status, variant, class table, label map, channel order, mean and standard deviation,
        weights file with SHA-256, metrics the source reports (percent, GB, images per second),
        metrics measured here (fractions 0..1) with the command that printed them, licences and
        limits. The schema is `zoo/manifest.schema.json`.

    Raises:
        ValueError: For an unknown name; suggests the nearest.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise unknown_name("zoo model", name, list(manifest))
    return json.loads(json.dumps(manifest[name]))  # a copy the caller may change


def bundled_weights(entry):
    """Path of an entry's bundled weights, after checking their SHA-256.

    Raises:
        CheckpointError: When the file is missing or not the published one.
    """
    record = entry["weights"]
    path = zoo_dir() / record["file"]
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: reinstall keras_deeplab, or pass weights=.")
    digest = file_sha256(path)
    if digest != record["sha256"]:
        raise CheckpointError(
            f"{path} is not the published file: its SHA-256 is {digest}, the manifest says "
            f"{record['sha256']}. Reinstall keras_deeplab."
        )
    return path


def cached_weights(name, entry):
    """Where the converted weights of a published entry lie, once they were fetched."""
    return cache_dir() / f"{name}-{entry['weights']['sha256'][:8]}.weights.h5"
