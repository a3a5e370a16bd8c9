"""The same logits under every Keras backend that is installed: `pytest -m backends`."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

from keras_deeplab.runtimes.compiling import VARIABLES

CODE = """
import numpy as np, keras
from reference import golden, read, golden_model
assert keras.backend.backend() == {backend!r}
case = read("models/r50_potsdam_os8_1x65x97.json")
model = golden_model(50, include_preprocessing=False, aux_head=True)
image = golden.make_input(case["case"], 1, 65, 97)
outputs = model.predict(image, verbose=0)
for key, fixture in (("logits", "decode"), ("aux_logits", "aux")):
    expected = case[fixture + "_resized_to_input"]
    n, y, x = np.array(expected["positions_nyx"]).T
    np.testing.assert_allclose(outputs[key][n, y, x], expected["values"], rtol=0, atol=1e-4)
"""

# Of DeepLab's TensorFlow code: an even size, where its padding differs from PyTorch's.
OFFICIAL_CODE = """
import numpy as np, keras
from reference import golden_tf, golden_variables, read
import keras_deeplab as kd
assert keras.backend.backend() == {backend!r}
case = read("official/models/{case}.json")
model = kd.build({variant!r}, case["flags"]["num_classes"])
kd.load_state_dict(model, golden_variables(case["variables"]))
picture = golden_tf.make_picture(case["case"], *case["input"]["shape_nhwc"][:3])
logits = keras.ops.convert_to_numpy(model(picture, training=False))
expected = case["logits_resized_to_input"]
n, y, x = np.array(expected["positions_nyx"]).T
np.testing.assert_allclose(logits[n, y, x], expected["values"], rtol=0, atol=1e-4)
"""
OFFICIAL_CASES = {
    "mnv2_d16": "mnv2_v3plus_os16_c21_1x128x128",
    "x65_d16": "xception65_os16_c19_1x128x128",
}


def run_under(backend, code):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    paths = [str(path) for path in pathlib.Path(__file__).parents[1:3]]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_logits_equal_the_reference(backend):
    run_under(backend, CODE.format(backend=backend))


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("variant", OFFICIAL_CASES)
def test_logits_equal_the_official_code(backend, variant):
    case = OFFICIAL_CASES[variant]
    run_under(backend, OFFICIAL_CODE.format(backend=backend, variant=variant, case=case))


EFFICIENTNET = """
import keras
from models.test_efficientnet import test_features_equal_pytorch
assert keras.backend.backend() == {backend!r}
test_features_equal_pytorch((97, 130), 16)
"""


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_features_of_efficientnet_equal_pytorch(backend):
    run_under(backend, EFFICIENTNET.format(backend=backend))


DATA_PARALLEL = """
import jax, keras, numpy as np
import keras_deeplab as kd
from reference import golden
assert len(jax.devices()) == 2
images = np.stack([golden.make_image_u8(f"train {i}", 32, 32) for i in range(4)])
labels = golden.make_label("train", 4, 32, 32, 3).astype("uint8")
labels[:3] = 255
losses, weights = [], []
for distribution in (None, keras.distribution.DataParallel()):
    keras.distribution.set_distribution(distribution)
    keras.utils.set_random_seed(0)
    model = kd.build("r18_d16", 3, aux_head=True, dropout=0.0)
    kd.compile_for_training(model, kd.Recipe(steps=2, batch_size=4, learning_rate=1e-3))
    history = model.fit(images, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
    losses.append(history.history["loss"])
    weights.append([np.asarray(weight) for weight in model.get_weights()])
assert len(model.weights[0].value.sharding.device_set) == 2
np.testing.assert_allclose(*losses, rtol=0, atol=1e-5)
for one, two in zip(*weights):
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5 * max(1, np.abs(one).max()))
"""


@pytest.mark.backends
def test_data_parallel_under_jax_equals_one_device():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join(str(path) for path in pathlib.Path(__file__).parents[1:3]),
    }
    subprocess.run([sys.executable, "-c", DATA_PARALLEL], env=environment, check=True)


INFERENCE = """
import numpy as np, keras
import keras_deeplab as kd
assert keras.backend.backend() == {backend!r}
model = kd.build("r18_d16", 3)
images = np.random.default_rng(0).integers(0, 256, (1, 64, 80, 3), "uint8")
expected = model.predict(images, verbose=0)
predictor = kd.compile_for_inference(model, "keras", "float32")
logits = predictor(images)
assert logits.dtype == np.float32
np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
try:
    kd.compile_for_inference(model, "openvino", "float32", tile=64)
except ValueError as error:
    assert "converted on Keras's TensorFlow backend, not on {backend}" in str(error), error
else:
    raise AssertionError
assert kd.compile_for_inference(model).runtime == "keras"
"""


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_models_are_compiled_for_keras_alone(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "KERAS_DEEPLAB_HOME": str(tmp_path)}
    environment = {key: environment[key] for key in environment if key not in VARIABLES.values()}
    subprocess.run(
        [sys.executable, "-c", INFERENCE.format(backend=backend)], env=environment, check=True
    )
