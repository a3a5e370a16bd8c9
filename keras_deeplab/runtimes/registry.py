"""The runtimes by name: which are installed, and which precisions they compute in."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import pathlib
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.processor import has_bfloat16

INT8 = "int8"  # of quantised files alone, see quantizing.py
PRECISIONS = ("float32", "bfloat16", INT8)
AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A runtime.

    Args:
        name: Its name.
        packages: Packages that it imports.
        extra: Extra of this package that installs them; `None` for a part of every install.
        precisions: What it can compute any model in.
        suffix: Of the files it reads; `None` where it reads none.
    """

    name: str
    packages: tuple[str, ...]
    extra: str | None = None
    precisions: tuple[str, ...] = ("float32",)
    suffix: str | None = None

    @property
    def installed(self) -> bool:
        """Whether all packages are there; imports none."""
        return all(importlib.util.find_spec(package) for package in self.packages)

    @property
    def versions(self) -> dict[str, str]:
        """Version of each package."""
        return {package: package_version(package) for package in self.packages}

    @property
    def module(self) -> typing.Any:
        """The module that converts and compiles: `convert`, `compile_file`, `read_record`."""
        return importlib.import_module(f"keras_deeplab.runtimes.{self.name}_runtime")


def package_version(package: str) -> str:
    """Version of an installed package; without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # onnxruntime-gpu has the package onnxruntime
        names = importlib.metadata.packages_distributions().get(package, ())
        return " ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


RUNTIMES = {
    runtime.name: runtime
    for runtime in (
        Runtime("keras", ("keras",), precisions=("float32", "bfloat16")),
        Runtime("openvino", ("openvino",), precisions=("float32", "bfloat16"), suffix=".xml"),
        Runtime("onnx", ("onnx", "tf2onnx", "onnxruntime"), "onnx", suffix=".onnx"),
        Runtime("litert", ("ai_edge_litert",), "litert", suffix=".tflite"),
    )
}


def installed_runtimes() -> list[Runtime]:
    """The runtimes whose packages are installed."""
    return [runtime for runtime in RUNTIMES.values() if runtime.installed]


def measured_runtimes() -> list[Runtime]:
    """The installed runtimes that `"auto"` chooses from.

    ONNX Runtime and LiteRT were never faster than OpenVINO where both were measured (see
    docs/performance.md), and a ResNet-101 takes a minute and gigabytes to convert. So they are
    candidates only where OpenVINO is not installed.
    """
    found = installed_runtimes()
    if RUNTIMES["openvino"] in found:
        return [runtime for runtime in found if runtime.extra is None]
    return found


def get_runtime(name: str) -> Runtime:
    """A runtime by name.

    Raises:
        ValueError: For an unknown one, and one that is not installed; says how to install it.
    """
    installed = ", ".join(runtime.name for runtime in installed_runtimes())
    if name not in RUNTIMES:
        raise InputError(
            f"runtime must be {AUTO} or one of {', '.join(RUNTIMES)}, got {name!r}. Installed: "
            f"{installed}."
        )
    runtime = RUNTIMES[name]
    if not runtime.installed:
        package = f'"keras-deeplab[{runtime.extra}]"' if runtime.extra else runtime.packages[0]
        raise InputError(
            f"runtime {name!r} is not installed: pip install {package}. Installed: {installed}."
        )
    return runtime


def check_precision(precision: str, runtimes: list[Runtime], name: str) -> None:
    """Raises a `ValueError` for a precision that no runtime can compute a model in.

    Args:
        precision: Name of a precision, or `"auto"`.
        runtimes: The runtimes to choose from.
        name: What to call the model.
    """
    offered = {known for runtime in runtimes for known in runtime.precisions}
    known = [known for known in PRECISIONS if known in offered]
    if precision in (AUTO, *known):
        return
    if precision == INT8:
        raise InputError(
            f"{name} is not quantised to int8. Write a quantised file, and use that as the model: "
            "keras-deeplab export MODEL --format openvino --precision int8 --calibrate FOLDER "
            "--output FILE.xml"
        )
    if known == [INT8]:
        raise InputError(f"{name} is quantised to int8: precision {precision!r} is not possible.")
    raise InputError(
        f"precision must be {AUTO} or one of {', '.join(known)}, got {precision!r}. Runtime: "
        f"{', '.join(runtime.name for runtime in runtimes)}."
    )


def native(precision: str) -> bool:
    """Whether this processor has instructions for a precision: without them it is slower."""
    return precision == "float32" or (precision == "bfloat16" and has_bfloat16())


def runtime_of_file(path: StrPath) -> Runtime | None:
    """The runtime that reads a file, by its suffix; `None` for no such suffix."""
    suffix = pathlib.Path(path).suffix.lower()
    found = [runtime.name for runtime in RUNTIMES.values() if runtime.suffix == suffix]
    return get_runtime(found[0]) if found else None
