"""The formats that a model is exported to, by name and by suffix."""

from __future__ import annotations

import dataclasses
import importlib
import pathlib
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab.runtimes.registry import get_runtime


@dataclasses.dataclass(frozen=True)
class Format:
    """A format.

    Args:
        name: Its name.
        title: Its name for people.
        suffix: Of its files, in small letters; empty for a folder.
        module_name: Module of this room with `convert`, `write_record`, `read_record`,
            `compile_file`.
        runtime: Runtime that has to be installed; `None` where Keras will do.
        batch: Number of images at a time; `None` for any.
    """

    name: str
    title: str
    suffix: str
    module_name: str
    runtime: str | None = None
    batch: int | None = None

    @property
    def module(self) -> typing.Any:
        """The module that writes and runs files of this format."""
        return importlib.import_module(f"keras_deeplab.runtimes.{self.module_name}")

    def has_suffix(self, path: pathlib.Path) -> bool:
        """Whether a path has its suffix. Runtimes read theirs in capitals too; Keras does not."""
        return self.suffix == (path.suffix if self.runtime is None else path.suffix.lower())

    def files(self, path: pathlib.Path) -> list[pathlib.Path]:
        """What is written for a path, in the order in which it is moved to its place."""
        return [path.with_suffix(".bin"), path] if self.name == "openvino" else [path]


FORMATS = {
    known.name: known
    for known in (
        Format("onnx", "ONNX", ".onnx", "onnx_runtime", "onnx"),
        Format("openvino", "OpenVINO IR", ".xml", "openvino_runtime", "openvino"),
        Format("litert", "LiteRT", ".tflite", "litert_runtime", "litert", batch=1),
        Format("tf_saved_model", "TensorFlow SavedModel", "", "saved_model"),
        Format("keras", "Keras", ".keras", "keras_file"),
    )
}


def find_format(name: str | None, path: pathlib.Path) -> Format:
    """A format by name, or by the suffix of the file to write.

    Raises:
        ValueError: For an unknown format, a path that does not fit it, and a runtime that is not
            installed.
    """
    if name is None:
        named = [known for known in FORMATS.values() if path.suffix and known.has_suffix(path)]
        if not named:
            suffixes = ", ".join(known.suffix for known in FORMATS.values() if known.suffix)
            raise InputError(
                f"{path}: the suffix names no format. Name it {suffixes}, or give the format "
                f"(--format): {', '.join(FORMATS)}."
            )
        found = named[0]
    elif name not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {name!r}.")
    else:
        found = FORMATS[name]
    check_path(found, path)
    if found.runtime is not None:
        get_runtime(found.runtime)
    return found


def check_path(found: Format, path: pathlib.Path) -> None:
    """Raises a `ValueError` for a path that does not fit a format, or where others' files are."""
    if found.suffix:
        if not found.has_suffix(path):
            raise InputError(
                f"{path}: the name of a file of format {found.name} must end in {found.suffix}."
            )
        if path.is_dir():
            raise InputError(f"{path} is a folder: give the name of the {found.suffix} file.")
        if found.name == "openvino":
            _check_weights(path)
        return
    if path.suffix.lower() in {known.suffix for known in FORMATS.values()} - {""}:
        raise InputError(f"{path}: format {found.name} is a folder, so its name has no suffix.")
    if path.is_file():
        raise InputError(f"{path} is a file, but format {found.name} is a folder.")
    if path.is_dir() and any(path.iterdir()) and not (path / "saved_model.pb").is_file():
        raise InputError(
            f"{path} is a folder of other files: give a new folder, or one of a SavedModel to "
            "replace."
        )


def _check_weights(path: pathlib.Path) -> None:
    """Raises a `ValueError` when the weights would replace a file that is not of the same model."""
    from keras_deeplab.runtimes.openvino_runtime import weights_belong

    weights = path.with_suffix(".bin")
    if weights.exists() and not weights_belong(path):
        raise InputError(
            f"{weights} would be replaced by the weights, but it is not of an OpenVINO file "
            f"{path.name}: choose another name, or move {weights.name} away."
        )
