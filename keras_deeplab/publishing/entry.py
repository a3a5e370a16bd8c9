"""A training run as a zoo entry: its record, weights and training log."""

import pathlib
import shutil
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import file_sha256
from keras_deeplab._internal.resources import PACKAGE
from keras_deeplab.zoo.manifest import Entry, Zoo
from keras_deeplab.zoo.metadata import ModelMetadata
from keras_deeplab.zoo.run_folders import Record


def check_writable(zoo: Zoo) -> None:
    """Raises a `ValueError` when a zoo is part of an installed package."""
    if PACKAGE in zoo.folder.resolve().parents:
        raise InputError(
            f"{zoo.folder} is part of the installed package, which is never changed. Give --zoo a "
            "folder of your own, for example zoo/ of a checkout."
        )


def make_entry(
    about: dict[str, typing.Any],
    metadata: ModelMetadata,
    parameters: int,
    weights: pathlib.Path,
    zoo: Zoo,
) -> Entry:
    """The manifest entry of a run, before it is measured.

    Args:
        about: What only its author knows: summary, dataset, limits, `weights_licence`, ...
        metadata: `ModelMetadata` of the run's model.
        parameters: Number of weights of the run's model.
        weights: The weights file, inside the zoo's folder.
        zoo: `Zoo` of the entry.
    """
    rest = {key: value for key, value in about.items() if key != "weights_licence"}
    described = metadata.to_json()
    del described["name"], described["licence"]  # the key of the entry, and that of its weights
    return {
        "status": "bundled",
        **described,
        "parameters": parameters,
        **rest,
        "weights": {
            "file": weights.relative_to(zoo.folder).as_posix(),
            "sha256": file_sha256(weights),
            "bytes": weights.stat().st_size,
            "dtype": "float16",
            "licence": about["weights_licence"],
        },
        "measured": [],
    }


def add_training_log(run: pathlib.Path, record: Record, entry: Entry, zoo: Zoo, name: str) -> None:
    """Copies the run's history and curve into the zoo, and adds it to the entry as last stage."""
    log = pathlib.PurePosixPath("logs") / f"{name}.csv"
    (zoo.folder / "logs").mkdir(exist_ok=True)
    shutil.copyfile(run / "history.csv", zoo.folder / log)
    pictures = zoo.folder / "cards" / name
    pictures.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / "curve.png", pictures / "curve.png")
    stage = {"title": "last stage", "command": record["command"], "log": str(log)}
    entry["training"]["stages"] = [*entry["training"].get("stages", []), stage]
