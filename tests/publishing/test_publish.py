"""`keras-deeplab publish`: a run becomes a zoo entry that follows the schema and loads."""

import json
import pathlib
import shutil

import jsonschema
import numpy as np
import pytest
from in_process import run as run_command
from PIL import Image

import keras_deeplab as kd
from keras_deeplab._internal import resources
from keras_deeplab._internal.files import file_sha256
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.prediction.protocols import parse_protocol

CURVE = pathlib.Path(__file__).parents[2] / "zoo/cards/r18_dubai/curve.png"


@pytest.fixture
def run(labelled_folder, tmp_path, tiny_networks):
    """The folder of a run, with random weights."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_keras_weights(kd.build("r18_d16", 2, aux_head=True), folder / "best.weights.h5")
    table = json.loads((labelled_folder / "classes.json").read_text())
    record = {
        "variant": "r18_d16",
        **table,
        "recipe": {"crop": 32},
        "command": "keras-deeplab train",
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "history.csv").write_text("step,loss,learning_rate,val_miou,val_miou_flip\n")
    shutil.copyfile(CURVE, folder / "curve.png")
    return folder


@pytest.fixture
def large_folder(labelled_folder):
    """The labelled images, large enough for the smallest scale."""
    for path in [*labelled_folder.glob("images/*"), *labelled_folder.glob("masks/*")]:
        with Image.open(path) as picture:
            enlarged = picture.resize((2 * picture.width, 2 * picture.height), Image.NEAREST)
        enlarged.save(path)
    return labelled_folder


def test_a_run_becomes_an_entry(run, large_folder, tmp_path):
    zoo = shutil.copytree(resources.zoo_dir(), tmp_path / "zoo")
    about = resources.zoo_dir() / "about/r18_dubai.json"
    images, masks = large_folder / "images", large_folder / "masks"
    command = ("publish", run, "--name", "r18_roofs", "--about", about, "--zoo", zoo)
    run_command(*command, "--images", images, "--masks", masks)
    manifest = json.loads((zoo / "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads((zoo / "manifest.schema.json").read_text()))
    before = json.loads((resources.zoo_dir() / "manifest.json").read_text())["models"]
    assert manifest["models"].keys() - before.keys() == {"r18_roofs"}
    entry = manifest["models"]["r18_roofs"]
    weights = zoo / entry["weights"]["file"]
    assert file_sha256(weights) == entry["weights"]["sha256"]
    table = kd.data.read_class_table(large_folder / "classes.json")
    dataset = kd.data.from_folder(images, masks, table)
    model = kd.build("r18_d16", 2, weights=weights)
    for record in entry["measured"]:
        protocol = parse_protocol(record["protocol"])
        metrics = kd.evaluate(model, dataset, num_classes=2, protocol=protocol)
        np.testing.assert_array_equal(metrics.confusion, record["confusion"])
    for name in ("logs/r18_roofs.csv", "cards/r18_roofs.md", "cards/r18_roofs/confusion.png"):
        assert (zoo / name).stat().st_size
    item = json.loads((zoo / "cards/r18_roofs.stac.json").read_text())
    assert item["properties"]["mlm:total_parameters"] == model.count_params()
    assert (zoo / "cards" / item["assets"]["model"]["href"]).samefile(weights)
