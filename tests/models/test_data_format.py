"""The networks are channels-last under every `image_data_format` of the user's keras.json."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from reference import golden, golden_model

import keras_deeplab as kd

VIEWS = {"scales": (0.75, 1.0), "flip": True, "window": 40}
CODE = f"""
import keras, numpy as np
import keras_deeplab as kd
assert keras.config.image_data_format() == "channels_first"
image = np.load("image.npy")
built = kd.build("r18_d8", 6, aux_head=True, weights="model.keras")
loaded = keras.saving.load_model("model.keras")
outputs = built(image[None], training=False) | {{
    "loaded": loaded(image[None], training=False)["logits"],
    "views": kd.predict(kd.build("r18_d8", 6, weights="model.keras"), image, **{VIEWS}),
}}
built.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
outputs["loss"] = built.train_on_batch(image[None], np.zeros((1, *image.shape[:2]), "uint8"))
np.savez("outputs.npz", **outputs)
"""


@pytest.mark.long
def test_channels_first_in_keras_json_changes_nothing(tmp_path):
    model = golden_model(18, aux_head=True)
    model.save(tmp_path / "model.keras")
    image = golden.make_image_u8("data format", 45, 59)
    np.save(tmp_path / "image.npy", image)
    (tmp_path / "keras.json").write_text(json.dumps({"image_data_format": "channels_first"}))
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, env=environment, check=True)
    outputs = np.load(tmp_path / "outputs.npz")
    expected = model(image[np.newaxis], training=False)
    for key in ("logits", "aux_logits"):
        np.testing.assert_allclose(outputs[key], expected[key], atol=1e-4)
    np.testing.assert_allclose(outputs["loaded"], expected["logits"], atol=1e-4)
    assert np.isfinite(outputs["loss"])
    views = kd.predict(golden_model(18), image, **VIEWS)
    np.testing.assert_allclose(outputs["views"], views, atol=1e-4)


def test_every_layer_is_told_the_format():
    """The spatial dropout, too, which only training uses."""
    keras.config.set_image_data_format("channels_first")
    try:
        layers = kd.build("r18_d16", 2, aux_head=True).layers
    finally:
        keras.config.set_image_data_format("channels_last")
    formats = {layer.name: layer.data_format for layer in layers if hasattr(layer, "data_format")}
    assert "decode_head-dropout" in formats and set(formats.values()) == {"channels_last"}
