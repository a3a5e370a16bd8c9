"""The fastest runtime that agrees with Keras: measured once, remembered.

Clocks are replaced where speed decides, and the processor where its instructions do.
"""

import dataclasses
import logging
import types

import numpy as np
import pytest
from rasters import write_raster
from runtimes.runtime_cases import IMAGES, run_python, write_run
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab._internal import processor
from keras_deeplab.runtimes import selection
from keras_deeplab.runtimes.check_batch import check_batch
from keras_deeplab.runtimes.predictor import Network, Predictor
from keras_deeplab.runtimes.registry import RUNTIMES
from keras_deeplab.runtimes.selection import REFERENCE, Candidate, choose
from keras_deeplab.runtimes.source import ModelSource

CHECK_IMAGE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), "uint8")
NETWORK = Network("net", None, channels=3, classes=2, normalises=True)
OPENVINO = Candidate(RUNTIMES["openvino"], "float32")
BFLOAT16 = Candidate(RUNTIMES["openvino"], "bfloat16")
ONNX = Candidate(RUNTIMES["onnx"], "float32")
LITERT = Candidate(RUNTIMES["litert"], "float32")

SECONDS = [0.0]  # what the clock shows


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that only `slow` moves."""
    clock = types.SimpleNamespace(perf_counter=lambda: SECONDS[0])
    monkeypatch.setattr(selection, "time", clock)


def bright(images):
    """Logits of two classes: dark and bright."""
    brightness = images.mean(-1, keepdims=True) - 127
    return np.concatenate([-brightness, brightness], -1)


def slow(images):
    SECONDS[0] += 1
    return bright(images)


def wrong_in(share):
    """An instant network that gives a share of the pixels the other class."""

    def logits(images):
        found = bright(images)
        rows = round(share * found.shape[1])
        found[:, :rows] *= -1
        return found

    return logits


class Compiler:
    """Compiles candidates into functions of NumPy, and notes which."""

    def __init__(self, engines):
        self.engines = {REFERENCE: bright, **engines}
        self.compiled = []

    def __call__(self, source, candidate):
        self.compiled.append(candidate)
        engine = self.engines[candidate]
        if isinstance(engine, Exception):
            raise engine
        runtime, precision = candidate
        return Predictor(source.network, runtime.name, precision, lambda size: engine)


@pytest.fixture
def source(tmp_path):
    """A model with a check image."""
    write_raster(tmp_path / "check_image.tif", CHECK_IMAGE)
    return ModelSource(NETWORK, "net", lambda: "weights", None, tmp_path / "check_image.tif")


@pytest.fixture
def measured(monkeypatch):
    """Lets the clock find one candidate the fastest; lists what was measured."""
    seen = []

    def fastest(runtime, precision="float32"):
        def seconds(predictors, images):
            seen.extend((each.runtime.name, each.precision) for each in predictors)
            wanted = (runtime, precision)
            return {e: 1 + ((e.runtime.name, e.precision) != wanted) for e in predictors}

        monkeypatch.setattr(selection, "_shortest_calls", seconds)
        return seen

    return fastest


def has_bfloat16(monkeypatch, yes):
    flags = frozenset({"avx512_bf16"} if yes else {"avx2"})
    for module in (processor, selection):
        monkeypatch.setattr(module, "cpu_flags", lambda: flags)


# --- What is chosen ---


def test_the_fastest_is_chosen(source, caplog):
    candidates = [OPENVINO, ONNX, LITERT]
    compiler = Compiler({OPENVINO: slow, ONNX: bright, LITERT: slow})
    assert choose(source, candidates, compiler) == ONNX
    assert "Measuring the fastest runtime for net, once" in caplog.text
    (line,) = [line for line in caplog.text.splitlines() if line.startswith("->")]
    assert line.split()[1:3] == ["onnx", "float32"] and line.endswith("100.00%")


@pytest.mark.parametrize(("seconds", "chosen"), [(0.9, OPENVINO), (0.7, REFERENCE)])
def test_keras_has_to_lead_clearly(source, monkeypatch, seconds, chosen):
    """Its start takes seconds, and measurements on a busy machine vary."""
    found = {REFERENCE: seconds, OPENVINO: 1.0}
    monkeypatch.setattr(selection, "_shortest_calls", lambda predictors, images: found)
    compiler = Compiler({OPENVINO: bright})
    assert choose(source, [REFERENCE, OPENVINO], compiler) == chosen


@pytest.mark.parametrize(("share", "chosen"), [(0.02, OPENVINO), (0.0, ONNX)])
def test_one_that_gives_other_classes_is_never_chosen(source, share, chosen, caplog):
    compiler = Compiler({OPENVINO: slow, ONNX: wrong_in(share)})
    assert choose(source, [OPENVINO, ONNX], compiler) == chosen
    assert f"{1 - round(64 * share) / 64:.2%}" in caplog.text


def test_half_a_percent_may_differ(tmp_path):
    write_raster(tmp_path / "image.tif", np.tile(CHECK_IMAGE, (4, 1, 1))[:200])
    source = ModelSource(NETWORK, "net", lambda: "weights", None, tmp_path / "image.tif")
    compiler = Compiler({OPENVINO: wrong_in(1 / 200), ONNX: wrong_in(2 / 200)})
    assert choose(source, [OPENVINO, ONNX], compiler) == OPENVINO


def test_none_agrees(source, cache):
    compiler = Compiler({OPENVINO: wrong_in(1), ONNX: wrong_in(0.5)})
    with pytest.raises(ValueError, match=r"classes of Keras in float32 on 99\.5% of the pixels of"):
        choose(source, [OPENVINO, ONNX], compiler)
    assert not list(cache.rglob("choice-*"))


def test_nothing_to_choose_is_not_measured(source, caplog):
    compiler = Compiler({})
    assert choose(source, [ONNX], compiler) == ONNX
    assert compiler.compiled == [] and not caplog.records


@pytest.mark.parametrize("error", [ValueError("not on this backend"), ImportError("broken")])
def test_one_that_fails_is_left_out(source, error, caplog):
    compiler = Compiler({OPENVINO: error, ONNX: slow})
    assert choose(source, [OPENVINO, ONNX], compiler) == ONNX
    assert f"openvino is left out: {error}" in caplog.text
    with pytest.raises(type(error), match=str(error)):
        choose(source, [OPENVINO, BFLOAT16], Compiler({OPENVINO: error, BFLOAT16: error}))


# --- bfloat16 ---


def test_bfloat16_that_changes_classes(tmp_path, monkeypatch, measured, tiny_networks, caplog):
    """A real one: two classes whose weights are equal in 8 bits."""
    model = write_run(tmp_path / "run", 2, check_image=CHECK_IMAGE)
    layer = model.get_layer("decode_head-conv_seg")
    kernel, bias = layer.get_weights()
    noise = np.random.default_rng(0).normal(size=kernel.shape[:-1])
    kernel[..., 1] = kernel[..., 0] + 1e-4 * noise
    layer.set_weights([kernel, bias * 0])
    model.save_weights(tmp_path / "run/best.weights.h5")
    has_bfloat16(monkeypatch, True)
    for runtime in ("keras", "openvino"):
        measured(runtime, "bfloat16")
        predictor = kd.compile_for_inference(tmp_path / "run", runtime)
        assert predictor.precision == "float32"
        assert f"-> {runtime} float32 " in caplog.text


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("check_image", [CHECK_IMAGE, None])
def test_when_bfloat16_is_considered(
    tmp_path, monkeypatch, measured, native, check_image, tiny_networks
):
    write_run(tmp_path / "run", check_image=check_image)
    has_bfloat16(monkeypatch, native)
    seen = measured("openvino", "bfloat16")
    predictor = kd.compile_for_inference(tmp_path / "run", "openvino")
    if native and check_image is not None:
        assert seen == [("openvino", "float32"), ("openvino", "bfloat16")]
        assert predictor.precision == "bfloat16"
    else:
        assert seen == [] and predictor.precision == "float32"


def test_bfloat16_that_is_asked_for(monkeypatch, measured):
    """By a model without a check image, on a processor without instructions for it."""
    has_bfloat16(monkeypatch, False)
    seen = measured("openvino", "bfloat16")
    predictor = kd.compile_for_inference(tiny_model(), precision="bfloat16")
    assert (predictor.runtime, predictor.precision) == ("openvino", "bfloat16")
    assert seen == [("keras", "bfloat16"), ("openvino", "bfloat16")]


# --- What is remembered ---


def test_the_choice_is_remembered(source, caplog):
    candidates = [OPENVINO, ONNX]
    choose(source, candidates, Compiler({OPENVINO: slow, ONNX: bright}))
    caplog.clear()
    again = Compiler({OPENVINO: bright, ONNX: slow})
    assert choose(source, candidates, again) == ONNX
    assert again.compiled == [] and not caplog.records


def other_weights(monkeypatch, source):
    return dataclasses.replace(source, configuration="other"), [OPENVINO, ONNX]


def other_processor(monkeypatch, source):
    monkeypatch.setattr(selection, "cpu_model", lambda: "Z80")
    return source, [OPENVINO, ONNX]


def other_instructions(monkeypatch, source):
    monkeypatch.setattr(selection, "cpu_flags", lambda: frozenset({"neon"}))
    return source, [OPENVINO, ONNX]


def other_number_of_cores(monkeypatch, source):
    monkeypatch.setattr(selection.os, "cpu_count", lambda: 192)
    return source, [OPENVINO, ONNX]


def other_runtimes(monkeypatch, source):
    return source, [OPENVINO, ONNX, LITERT]


def other_version(monkeypatch, source):
    versions = property(lambda runtime: {"onnxruntime": "99"})
    monkeypatch.setattr(type(ONNX.runtime), "versions", versions)
    return source, [OPENVINO, ONNX]


def other_version_of_the_backend(monkeypatch, source):
    monkeypatch.setattr(selection, "package_version", lambda package: f"{package} 99")
    return source, [OPENVINO, ONNX]


def other_backend(monkeypatch, source):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    return source, [OPENVINO, ONNX]


@pytest.mark.parametrize(
    "change",
    [
        *(other_weights, other_processor, other_instructions, other_number_of_cores),
        *(other_runtimes, other_version, other_version_of_the_backend, other_backend),
    ],
)
def test_what_is_measured_again(source, monkeypatch, change):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    choose(source, [OPENVINO, ONNX], Compiler({OPENVINO: slow, ONNX: bright}))
    source, candidates = change(monkeypatch, source)
    engines = {OPENVINO: bright, ONNX: slow, LITERT: slow}
    assert choose(source, candidates, Compiler(engines)) == OPENVINO


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        "3",
        '{"runtime": "onnx"}',
        '{"runtime": "cuda", "precision": "float32"}',
        '{"runtime": ["onnx"], "precision": "float32"}',
        "\xff",
    ],
)
def test_a_damaged_choice_is_measured_again(source, cache, text):
    compiler = Compiler({OPENVINO: slow, ONNX: bright})
    choose(source, [OPENVINO, ONNX], compiler)
    (path,) = cache.rglob("choice-*.json")
    good = path.read_bytes()
    path.write_bytes(text.encode("latin-1"))
    compiler.compiled.clear()
    assert choose(source, [OPENVINO, ONNX], compiler) == ONNX
    assert set(compiler.compiled) == {REFERENCE, OPENVINO, ONNX}
    assert path.read_bytes() == good


def test_a_choice_that_cannot_be_kept(source, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_DEEPLAB_HOME", str(tmp_path / "file/cache"))
    compiler = Compiler({OPENVINO: slow, ONNX: bright})
    assert choose(source, [OPENVINO, ONNX], compiler) == ONNX
    assert "The choice is not remembered: " in caplog.text


SECOND = """
import sys
import numpy as np
import keras_deeplab as kd
predictor = kd.compile_for_inference(sys.argv[1])
print(predictor.runtime, predictor.precision)
np.save(sys.argv[2], predictor(np.load(sys.argv[2])))
assert "tensorflow" not in sys.modules
"""


def test_a_second_process_measures_nothing(tmp_path, measured, tiny_networks, caplog):
    """Keras and OpenVINO are compared; the process has the same processor."""
    write_run(tmp_path / "run", check_image=CHECK_IMAGE)
    seen = measured("openvino")
    predictor = kd.compile_for_inference(tmp_path / "run")
    assert predictor.runtime == "openvino" and {name for name, _ in seen} == {"keras", "openvino"}
    assert caplog.text.count("Measuring the fastest runtime") == 1
    np.save(tmp_path / "images.npy", IMAGES)
    output, log = run_python(SECOND, tmp_path / "run", tmp_path / "images.npy")
    assert output.split() == ["openvino", "float32"] and log == ""
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), predictor(IMAGES))


# --- Images ---


def test_large_check_images_are_cropped(tmp_path):
    write_raster(tmp_path / "image.tif", np.tile(CHECK_IMAGE, (10, 9, 1)))
    source = ModelSource(NETWORK, "net", lambda: "weights", None, tmp_path / "image.tif")
    assert check_batch(source).shape == (1, 512, 512, 3)


@pytest.mark.parametrize("normalises", [True, False])
def test_noise_without_a_check_image(normalises):
    network = dataclasses.replace(NETWORK, channels=5, normalises=normalises)
    images = check_batch(ModelSource(network, "net", lambda: "weights", None))
    assert images.shape == (1, 256, 256, 5) and images.dtype == np.float32
    assert (images.min() >= 0 and 250 < images.max() < 255) == normalises
    assert (abs(images.mean()) < 0.1 and images.std() < 2) != normalises


def test_noise_for_a_model_of_one_size():
    found = ModelSource(NETWORK, "net", lambda: "weights", None, size=(40, None))
    assert check_batch(found).shape == (1, 40, 256, 3)


def test_check_image_with_other_channels(source):
    network = dataclasses.replace(NETWORK, channels=4)
    source = dataclasses.replace(source, network=network)
    message = f"{source.check_image} has 3 channels, but net takes 4"
    with pytest.raises(ValueError, match=message):
        choose(source, [OPENVINO, ONNX], Compiler({}))


def test_unreadable_check_image(source):
    source.check_image.write_bytes(b"garbage")
    with pytest.raises(ValueError, match=f"{source.check_image}: cannot be read as a raster"):
        choose(source, [OPENVINO, ONNX], Compiler({}))
    source.check_image.unlink()
    with pytest.raises(ValueError, match=str(source.check_image)):
        choose(source, [OPENVINO, ONNX], Compiler({}))


def test_a_slow_one_is_called_once(source, monkeypatch, caplog):
    """It takes more than twice as long as the fastest: further calls would not change that."""
    calls = []

    def counted(engine, name):
        return lambda images: calls.append(name) or engine(images)

    compiler = Compiler({OPENVINO: counted(bright, "fast"), ONNX: counted(slow, "slow")})
    with caplog.at_level(logging.ERROR):
        assert choose(source, [OPENVINO, ONNX], compiler) == OPENVINO
    assert calls.count("slow") == 2  # one to compare its classes, one to measure it
    assert calls.count("fast") == 1 + selection.ROUNDS
