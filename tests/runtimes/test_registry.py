"""Which runtimes are installed, and what they compute in."""

import importlib.metadata
import pathlib
import sys

import pytest

from keras_deeplab._internal import processor
from keras_deeplab.runtimes.registry import (
    RUNTIMES,
    Runtime,
    check_precision,
    get_runtime,
    installed_runtimes,
    measured_runtimes,
    native,
    runtime_of_file,
)

PACKAGES = [(name, package) for name in RUNTIMES for package in RUNTIMES[name].packages]


@pytest.mark.parametrize(("name", "package"), PACKAGES)
def test_a_runtime_needs_all_its_packages(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)  # imports of it fail
    assert name not in [runtime.name for runtime in installed_runtimes()]
    install = {"onnx": '"keras-deeplab[onnx]"', "litert": '"keras-deeplab[litert]"'}
    rest = ", ".join(other for other in RUNTIMES if other != name)
    with pytest.raises(ValueError) as caught:
        get_runtime(name)
    assert str(caught.value) == (
        f"runtime {name!r} is not installed: pip install {install.get(name, name)}. "
        f"Installed: {rest}."
    )


def test_what_is_looked_for_is_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "some_runtime"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(tmp_path)
    assert Runtime("some", ("some_runtime",)).installed
    assert not Runtime("some", ("some_runtime", "no_such_package")).installed


def test_extras_are_those_of_this_package():
    text = (pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text()
    for runtime in RUNTIMES.values():
        for package in runtime.packages:
            requirement = f'"{package.replace("_", "-")}>='
            section = text.split(f"\n{runtime.extra or 'dependencies'} = [")[1].split("\n]")[0]
            assert requirement in section


def test_versions_of_the_packages(tmp_path, monkeypatch):
    assert RUNTIMES["litert"].versions == {
        "ai_edge_litert": importlib.metadata.version("ai-edge-litert")
    }
    # As onnxruntime-gpu, which has the package onnxruntime.
    (tmp_path / "some_runtime").mkdir()
    (tmp_path / "some_runtime/__init__.py").touch()
    record = tmp_path / "some_runtime_gpu-7.5.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: some-runtime-gpu\nVersion: 7.5")
    (record / "top_level.txt").write_text("some_runtime\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert Runtime("some", ("some_runtime",)).versions == {"some_runtime": "some-runtime-gpu 7.5"}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), False),
        (("avx2", "avx512f"), False),
        (("avx512_bf16",), True),
        (("amx_bf16",), True),
        (("bf16",), True),
    ],
)
def test_bfloat16_needs_instructions(monkeypatch, flags, expected):
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(flags))
    assert native("bfloat16") is expected
    assert native("float32")


@pytest.mark.parametrize(
    ("precision", "names", "message"),
    [
        (
            "float64",
            ["keras", "onnx"],
            "one of float32, bfloat16, got 'float64'.*: keras, onnx",
        ),
        ("bfloat16", ["onnx"], "auto or one of float32, got 'bfloat16'. Runtime: onnx"),
        ("int8", ["openvino"], "^net is not quantised to int8.*keras-deeplab export MODEL"),
    ],
)
def test_precisions_that_no_runtime_has(precision, names, message):
    with pytest.raises(ValueError, match=message):
        check_precision(precision, [RUNTIMES[name] for name in names], "net")


def test_files_by_their_suffix(monkeypatch):
    for name, suffix in (("openvino", "xml"), ("onnx", "onnx"), ("litert", "tflite")):
        assert runtime_of_file(f"some/model.{suffix}").name == name
        assert runtime_of_file(pathlib.Path(f"MODEL.{suffix.upper()}")).name == name
    for other in ("r18_dubai", "model.keras", "runs/best.v2", "onnx", ".onnx"):
        assert runtime_of_file(other) is None
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r'pip install "keras-deeplab\[onnx\]"'):
        runtime_of_file("model.onnx")


def test_costly_conversions_are_measured_only_without_openvino(monkeypatch):
    assert [runtime.name for runtime in measured_runtimes()] == ["keras", "openvino"]
    monkeypatch.setitem(sys.modules, "openvino", None)  # imports of it fail
    assert [runtime.name for runtime in measured_runtimes()] == ["keras", "onnx", "litert"]
