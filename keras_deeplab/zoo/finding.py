"""A trained model by name, before it is built: its metadata and where its weights are.

Needs no Keras, so that a command that runs a converted model starts fast.
"""

import pathlib
import typing
from collections.abc import Callable

from keras_deeplab._internal.files import StrPath, file_sha256
from keras_deeplab.zoo import manifest
from keras_deeplab.zoo.manifest import Entry, Zoo
from keras_deeplab.zoo.metadata import ModelMetadata
from keras_deeplab.zoo.run_folders import CHECK_IMAGE, read_run, run_metadata, run_weights
from keras_deeplab.zoo.trained_weights import check_public, trained_weights


class TrainedModel(typing.NamedTuple):
    """A trained model before it is built.

    Attributes:
        metadata: `ModelMetadata`.
        weights: Function that returns the path of its weights; it may download them.
        sha256: Function that returns a SHA-256 that identifies the weights; it downloads nothing.
        check_image: An image of the kind that the model is for, see `check_images`; `None` where
            there is none.
    """

    metadata: ModelMetadata
    weights: Callable[[], pathlib.Path]
    sha256: Callable[[], str]
    check_image: pathlib.Path | None


def find_model(name_or_run: StrPath, zoo: Zoo | None = None) -> TrainedModel:
    """The `TrainedModel` of a zoo name or of the folder of a training run.

    Args:
        name_or_run: A name of `list_models()`, or a folder that `train` wrote.
        zoo: `Zoo` to look in; the package's by default.

    Raises:
        ValueError: When it is neither; suggests the nearest zoo names.
    """
    zoo = manifest.default_zoo() if zoo is None else zoo
    name = str(name_or_run)
    if name not in zoo.names() and pathlib.Path(name_or_run).is_dir():
        return TrainedModel(
            run_metadata(read_run(name_or_run), name_or_run),
            weights=lambda: run_weights(name_or_run),
            sha256=lambda: file_sha256(run_weights(name_or_run)),
            check_image=_existing(pathlib.Path(name_or_run) / CHECK_IMAGE),
        )
    entry = zoo.entry(name)

    def sha256() -> str:
        check_public(name, entry)
        return manifest.weights_sha256(entry["weights"])

    return TrainedModel(
        entry_metadata(name, entry),
        weights=lambda: trained_weights(zoo, name),
        sha256=sha256,
        check_image=_existing(zoo.example(entry)),
    )


def _existing(path: pathlib.Path | None) -> pathlib.Path | None:
    return path if path is not None and path.is_file() else None


def entry_metadata(name: str, entry: Entry) -> ModelMetadata:
    """`ModelMetadata` of a zoo entry."""
    licence = entry["weights"]["licence"] if entry["weights"] else None
    return ModelMetadata.from_json(
        {**entry, "name": name, "licence": licence}, where=f"zoo entry {name}"
    )
