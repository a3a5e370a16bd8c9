"""The int8 file of a zoo entry: how it is made for measuring, and what the entry says of it."""

from __future__ import annotations

import dataclasses
import shlex
import typing
from collections.abc import Iterable

from keras_deeplab.runtimes.export_record import ExportedFile
from keras_deeplab.runtimes.source import ModelSource, find_source
from keras_deeplab.zoo.loader import load
from keras_deeplab.zoo.manifest import Zoo


def entry_source(zoo: Zoo, name: str) -> ModelSource:
    """The model of an entry to quantise, with its example as the check image."""
    source = find_source(load(name, zoo=zoo))
    return dataclasses.replace(source, check_image=zoo.example(zoo.entry(name)))


def quantization_record(
    exported: ExportedFile, name: str, file: str, calibration: Iterable[str]
) -> dict[str, typing.Any]:
    """`quantization` of a measured record, see `zoo/manifest.schema.json`.

    Args:
        exported: The int8 file that is measured.
        name: Zoo name.
        file: What the commands call the file.
        calibration: Arguments of `keras-deeplab export` that name the calibration images.
    """
    assert exported.quantization is not None and exported.size is not None
    tile, _ = exported.size
    how = ["--precision", exported.precision, "--tile", str(tile), *calibration, "--output", file]
    return {
        "command": shlex.join(["keras-deeplab", "export", name, *how]),
        "tile": tile,
        "calibration": exported.quantization.calibration,
        "crops": exported.quantization.crops,
        "agreement": exported.agreement.equal_classes,
        "nncf": exported.quantization.nncf,
    }
