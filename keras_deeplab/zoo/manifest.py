"""The zoo's manifest: one record holds everything needed to use and to judge a weight."""

import functools
import hashlib
import json
import pathlib
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath, file_sha256, write_json
from keras_deeplab._internal.names import match_names, unknown_name
from keras_deeplab._internal.resources import zoo_dir
from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.downloads.cache import cache_dir

Entry = dict[str, typing.Any]  # see zoo/manifest.schema.json


class Zoo:
    """A zoo on disk: the folder of `manifest.json`, `weights/`, `logs/` and `cards/`.

    Args:
        folder: The folder. Its manifest is read at the first use.
    """

    def __init__(self, folder: StrPath):
        self.folder = pathlib.Path(folder)

    @functools.cached_property
    def _manifest(self) -> dict[str, dict[str, Entry]]:
        path = self.folder / "manifest.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(f"{self.folder} is not a zoo: {path} does not exist.") from error

    def names(self, pattern: str = "*") -> list[str]:
        """Names of the entries that match a glob, in natural order."""
        return match_names(self._manifest["models"], pattern)

    def entry(self, name: str) -> Entry:
        """A copy of an entry; a `ValueError` with suggestions for an unknown name."""
        entries = self._manifest["models"]
        if name not in entries:
            raise unknown_name("zoo model", name, list(entries))
        return json.loads(json.dumps(entries[name]))

    def backbone(self, name: str) -> Entry:
        """The record of the ImageNet weights of a backbone, by its name in `BACKBONES`."""
        return self._manifest["backbones"][name]

    def bundled_weights(self, record: Entry) -> pathlib.Path:
        """Path of bundled weights, after checking their SHA-256.

        Args:
            record: The `weights` of a model's entry, or the record of a backbone.

        Raises:
            CheckpointError: When the file is missing or is not the published one.
        """
        path = self.folder / record["file"]
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: reinstall keras_deeplab, or pass weights=.")
        digest = file_sha256(path)
        if digest != record["sha256"]:
            raise CheckpointError(
                f"{path} is not the published file: its SHA-256 is {digest}, the manifest says "
                f"{record['sha256']}. Reinstall keras_deeplab."
            )
        return path

    def example(self, entry: Entry) -> pathlib.Path | None:
        """Path of an entry's example image; `None` where it has none."""
        return self.folder / entry["example"]["file"] if entry.get("example") else None

    def write_entry(self, name: str, entry: Entry) -> None:
        """Adds or replaces one entry of the manifest."""
        self._manifest["models"][name] = json.loads(json.dumps(entry))
        write_json(self.folder / "manifest.json", self._manifest)


def cached_weights(name: str, entry: Entry) -> pathlib.Path:
    """Where the converted weights of a published entry are, once they were fetched."""
    return cache_dir() / f"{name}-{weights_sha256(entry['weights'])[:8]}.weights.h5"


def weights_sha256(record: Entry) -> str:
    """SHA-256 that identifies published weights: of the file, else of its URL."""
    return record["sha256"] or hashlib.sha256(record["url"].encode()).hexdigest()


def measured_miou(entry: Entry, protocol: str, precision: str = "float32") -> float | None:
    """mIoU in percent that was measured here under a protocol, or `None`."""
    for record in entry["measured"]:
        if (record["protocol"]["name"], record["precision"]) == (protocol, precision):
            return 100 * record["mIoU"]
    return None


@functools.cache
def default_zoo() -> Zoo:
    """The zoo of this package: inside it when installed, next to it in a checkout."""
    return Zoo(zoo_dir())


def list_models(pattern: str = "*") -> list[str]:
    """Names of the zoo entries that match a glob, in natural order.

    Args:
        pattern: Glob, for example `"*potsdam"`.
    """
    return default_zoo().names(pattern)


def info(name: str) -> Entry:
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
    return default_zoo().entry(name)
