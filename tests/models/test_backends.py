"""The same logits under every Keras backend that is installed: `pytest -m backends`."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

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


@pytest.mark.backends
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_logits_equal_the_reference(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    tests = pathlib.Path(__file__).parents[1]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(tests)}
    subprocess.run(
        [sys.executable, "-c", CODE.format(backend=backend)], env=environment, check=True
    )
