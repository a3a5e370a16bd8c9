"""Whole networks of each family, exported to every format; the tiny network stands for the rest."""

import numpy as np
import pytest
from reference import TOLERANCE, golden
from runtimes.foreign_readers import NAMES, run_file

import keras_deeplab as kd


@pytest.fixture(scope="module")
def model():
    return kd.build("efl0_d16", 3, weights="imagenet")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_runtime_gives_the_logits_of_keras(model, tmp_path, name):
    path = tmp_path / NAMES[name]
    kd.export(model, path, name, tile=96, **({"raw": True} if name == "onnx" else {}))
    image = golden.make_image_u8("export", 96, 96)[np.newaxis].astype("float32")
    expected = model(image, training=False)
    np.testing.assert_allclose(run_file(name, path, image), expected, rtol=0, atol=TOLERANCE)
