"""A run to evaluate or export, and labelled images for it."""

import json

import pytest

import keras_deeplab as kd
from keras_deeplab.checkpoints.keras_files import save_keras_weights


@pytest.fixture
def trained(labelled_folder, tmp_path, tiny_networks):
    """The folder of a run with random weights, for the labelled images."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_keras_weights(kd.build("r18_d16", 2), folder / "last.weights.h5")
    table = json.loads((labelled_folder / "classes.json").read_text())
    (folder / "run.json").write_text(json.dumps({"variant": "r18_d16", **table}))
    return folder


@pytest.fixture
def images(labelled_folder):
    return ("--images", labelled_folder / "images", "--masks", labelled_folder / "masks")
