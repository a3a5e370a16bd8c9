"""The options of `compile_for_inference`, and the variables that replace "auto"."""

import sys

import pytest
from runtimes.runtime_cases import NAMES, run_python, write_run
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab.runtimes.compiling import VARIABLES


@pytest.fixture(scope="module")
def model():
    return tiny_model()


# --- Options ---


def test_unknown_runtime_lists_those_installed(model):
    with pytest.raises(ValueError) as caught:
        kd.compile_for_inference(model, "tensorrt")
    known = "keras, openvino, onnx, litert"
    assert str(caught.value) == (
        f"runtime must be auto or one of {known}, got 'tensorrt'. Installed: {known}."
    )


def test_runtime_that_is_not_installed(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ValueError, match=r'not installed: pip install "keras-deeplab\[onnx\]"'):
        kd.compile_for_inference(model, "onnx")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    with pytest.raises(ValueError, match=r'pip install "keras-deeplab\[litert\]"'):
        kd.compile_for_inference("model.tflite")


@pytest.mark.parametrize(
    ("runtime", "precision", "message"),
    [
        ("auto", "half", "auto or one of float32, bfloat16, got 'half'. Runtime: keras, openvino"),
        ("onnx", "bfloat16", "auto or one of float32, got 'bfloat16'. Runtime: onnx"),
        ("auto", "int8", "is not quantised to int8"),
        ("keras", "int8", "is not quantised to int8"),
    ],
)
def test_precisions_that_cannot_be_had(model, runtime, precision, message):
    with pytest.raises(ValueError, match=message):
        kd.compile_for_inference(model, runtime, precision)


def test_options_are_checked_before_anything_is_loaded(tmp_path):
    write_run(tmp_path / "run")
    (tmp_path / "run/best.weights.h5").write_bytes(b"garbage")
    with pytest.raises(ValueError, match="precision must be"):
        kd.compile_for_inference(tmp_path / "run", precision="half")


@pytest.mark.parametrize("tile", [31, 0, -64])
def test_tile_below_32_pixels(model, tile):
    with pytest.raises(ValueError, match=f"tile must be 32 pixels or more, got {tile}"):
        kd.compile_for_inference(model, tile=tile)


@pytest.mark.parametrize("runtime", NAMES)
def test_tile_is_compiled_now(model, runtime):
    predictor = kd.compile_for_inference(model, runtime, "float32", tile=33)
    assert list(predictor._engines) == [(33, 33)]
    assert list(kd.compile_for_inference(model, runtime, "float32")._engines) == []


@pytest.mark.parametrize("name", ["r18_dubay", "no_such_folder/run"])
def test_unknown_model(name):
    with pytest.raises(ValueError, match=f"Unknown zoo model '{name}'"):
        kd.compile_for_inference(name, "keras", "float32")


# --- Variables ---


def test_variables_replace_auto(model, monkeypatch):
    monkeypatch.setenv(VARIABLES["runtime"], "onnx")
    predictor = kd.compile_for_inference(model)
    assert (predictor.runtime, predictor.precision) == ("onnx", "float32")
    monkeypatch.setenv(VARIABLES["runtime"], "openvino")
    monkeypatch.setenv(VARIABLES["precision"], "bfloat16")
    predictor = kd.compile_for_inference(model)
    assert (predictor.runtime, predictor.precision) == ("openvino", "bfloat16")


def test_options_beat_variables(model, monkeypatch):
    for option in VARIABLES:
        monkeypatch.setenv(VARIABLES[option], "garbage")
    predictor = kd.compile_for_inference(model, "keras", "float32")
    assert (predictor.runtime, predictor.precision) == ("keras", "float32")


@pytest.mark.parametrize("value", ["", "auto"])
def test_variables_that_choose_nothing(model, monkeypatch, value):
    monkeypatch.setenv(VARIABLES["precision"], value)
    assert kd.compile_for_inference(model, "onnx").precision == "float32"


@pytest.mark.parametrize(
    ("variables", "options", "message"),
    [
        ({"runtime": "cuda"}, {}, "^KERAS_DEEPLAB_RUNTIME=cuda: runtime must be auto or one of"),
        ({"precision": "half"}, {}, "^KERAS_DEEPLAB_PRECISION=half: precision must be auto or"),
        (
            {"runtime": "onnx", "precision": "bfloat16"},
            {},
            "^KERAS_DEEPLAB_RUNTIME=onnx, KERAS_DEEPLAB_PRECISION=bfloat16: precision must be",
        ),
        (
            {"runtime": "onnx", "precision": "bfloat16"},
            {"runtime": "litert"},
            "^KERAS_DEEPLAB_PRECISION=bfloat16: precision must be auto or one of float32",
        ),
        ({"runtime": "onnx"}, {"runtime": "cuda"}, "^runtime must be auto or one of"),
        ({"precision": "int8"}, {}, "^KERAS_DEEPLAB_PRECISION=int8: .* is not quantised"),
    ],
)
def test_wrong_variables_are_named(model, monkeypatch, variables, options, message):
    for option, value in variables.items():
        monkeypatch.setenv(VARIABLES[option], value)
    with pytest.raises(ValueError, match=message):
        kd.compile_for_inference(model, **options)


def test_variable_that_does_not_fit_a_file(monkeypatch):
    monkeypatch.setenv(VARIABLES["runtime"], "keras")
    with pytest.raises(ValueError, match=r"^KERAS_DEEPLAB_RUNTIME=keras: model.onnx is a file of"):
        kd.compile_for_inference("model.onnx")
    with pytest.raises(ValueError, match=r"^model.onnx does not exist"):
        kd.compile_for_inference("model.onnx", "onnx")


# --- New processes ---

IMPORTED = """
import sys
import keras_deeplab as kd
try:
    kd.compile_for_inference("r18_dubai", "cuda")
except ValueError as error:
    print(error)
assert not {"tensorflow", "keras", "openvino", "onnxruntime", "ai_edge_litert"} & set(sys.modules)
"""


def test_errors_need_no_framework():
    output, _ = run_python(IMPORTED)
    assert "got 'cuda'. Installed: keras, " in output


FRESH = """
import sys
import keras_deeplab as kd
from tiny import tiny_model
model = tiny_model()
predictor = kd.compile_for_inference(model, "openvino", "float32", tile=32)
assert "openvino" in sys.modules
assert not [name for name in sys.modules if name.startswith("openvino_telemetry")]
"""


@pytest.mark.long
def test_openvino_sends_no_telemetry():
    """The package that sends it is not imported, neither to convert nor to compile."""
    run_python(FRESH)
