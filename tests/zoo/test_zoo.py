"""The manifest, the bundled weights and `load`."""

import json
import logging
import pathlib
import shutil

import jsonschema
import numpy as np
import pytest
from reference import golden

import keras_deeplab as kd
from keras_deeplab._internal import resources
from keras_deeplab._internal.files import file_sha256
from keras_deeplab.prediction.protocols import PROTOCOLS, parse_protocol
from keras_deeplab.publishing.card_results import report_name
from keras_deeplab.publishing.cards import card_text
from keras_deeplab.zoo import manifest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples/dubai"
ZOO = resources.zoo_dir()
IMAGE = golden.make_image_u8("zoo", 64, 80)


@pytest.fixture(scope="module")
def model():
    return kd.load("r18_dubai")


def test_manifest_follows_its_schema():
    schema = json.loads((ZOO / "manifest.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((ZOO / "manifest.json").read_text()), schema)


@pytest.mark.parametrize("name", kd.list_models())
def test_card_is_the_generators(name):
    assert (ZOO / "cards" / f"{name}.md").read_text() == card_text(name, kd.info(name))


BUNDLED = [name for name in kd.list_models() if kd.info(name)["status"] == "bundled"]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_entry_is_consistent(name):
    entry = kd.info(name)
    weights = ZOO / entry["weights"]["file"]
    assert weights.stat().st_size == entry["weights"]["bytes"]
    assert file_sha256(weights) == entry["weights"]["sha256"]
    for stage in entry["training"]["stages"]:
        assert (ZOO / stage["log"]).is_file()
    keys = [(record["precision"], record["protocol"]["name"]) for record in entry["measured"]]
    assert keys[: len(PROTOCOLS)] == [("float32", protocol) for protocol in PROTOCOLS]
    assert len(set(keys)) == len(keys)
    for record in entry["measured"]:
        protocol = record["protocol"]["name"]
        assert parse_protocol(record["protocol"]) == PROTOCOLS[protocol]
        assert f"--protocol {protocol} " in record["command"]
        page = (ZOO / f"cards/{name}/{report_name(record)}").read_text()
        assert record["precision"] == "float32" or f"in {record['precision']}." in page
        assert f"{record['mIoU']:.4f}" in page and f"{record['pixels']:,}" in page
        # The figures follow from the confusion matrix that stands beside them.
        metrics = kd.metrics.SegmentationMetrics(len(entry["classes"]))
        metrics.confusion[:] = record["confusion"]
        result = metrics.result()
        assert record["mIoU"] == pytest.approx(result["mIoU"], abs=1e-12)
        assert record["IoU"] == pytest.approx(result["per_class"]["IoU"], abs=1e-12)
        assert record["fwIoU"] == pytest.approx(result["fwIoU"], abs=1e-12)
        assert record["pixels"] == metrics.confusion.sum()
        low, high = record["intervals"]["mIoU"]
        assert low <= record["mIoU"] <= high
    assert abs(entry["measured"][0]["mIoU"] - entry["storage"]["mIoU_trained"]) <= 0.001


def test_figures_of_the_bundled_entry_in_each_precision():
    entry = kd.info("r18_dubai")
    for precision in ("float32", "bfloat16", "int8"):
        figure = manifest.measured_miou(entry, "whole_scene", precision)
        assert abs(figure - manifest.measured_miou(entry, "whole_scene")) < 0.5
    assert manifest.measured_miou(entry, "published", "int8") is None  # whole images
    assert f"{figure:.2f}" in (ZOO / "cards/r18_dubai.md").read_text()


def test_load_predicts_the_bundled_images(model):
    """The examples are validation images, harder than most; random weights reach 0.1."""
    table = kd.data.read_class_table(EXAMPLES / "classes.json")
    windows = kd.data.RandomWindows(size=256, count=6)
    dataset = kd.data.from_folder(EXAMPLES / "images", EXAMPLES / "masks", table, windows=windows)
    result = kd.evaluate(model, dataset, num_classes=5).result()
    assert result["aAcc"] > 0.6 and result["mIoU"] > 0.3


def test_load_finds_the_buildings_of_the_bundled_scene():
    """Unseen ground, where some roofs have no outline; all pixels building would be 0.43."""
    folder = EXAMPLES.parent / "banepa"
    model = kd.load("efl0_banepa")
    dataset = kd.data.from_rasters(
        folder / "scene.tif",
        labels=folder / "buildings.geojson",
        class_field="class",
        classes=model.metadata.classes,
    )
    assert kd.evaluate(model, dataset).result()["per_class"]["IoU"][1] > 0.6


def test_other_classes_keep_all_but_the_classifiers(model, caplog):
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        other = kd.load("r18_dubai", num_classes=7)
    assert "decode_head.conv_seg" in caplog.text and "has 5 classes, the model 7" in caplog.text
    assert other(IMAGE[np.newaxis]).shape == (1, 64, 80, 7)
    for layer in model.layers:
        if layer.name != "decode_head-conv_seg":
            for one, two in zip(
                layer.get_weights(), other.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(one, two)


def test_local_weights_instead(model, tmp_path):
    model.save_weights(tmp_path / "mine.weights.h5")
    mine = kd.load("r18_dubai", weights=tmp_path / "mine.weights.h5")
    np.testing.assert_allclose(kd.predict(mine, IMAGE), kd.predict(model, IMAGE), atol=1e-5)


def test_unknown_names_get_suggestions():
    for call in (kd.load, kd.info):
        with pytest.raises(ValueError, match=r"'r18_dubay'. Did you mean 'r18_dubai'"):
            call("r18_dubay")
    with pytest.raises(ValueError, match="r18_dubai"):
        kd.load("no/such/folder")


def test_altered_and_missing_weights_are_refused(tmp_path, monkeypatch):
    shutil.copytree(ZOO, tmp_path / "zoo")
    monkeypatch.setattr(manifest, "default_zoo", lambda: manifest.Zoo(tmp_path / "zoo"))
    path = tmp_path / "zoo" / kd.info("r18_dubai")["weights"]["file"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(kd.CheckpointError, match="not the published file: its SHA-256 is"):
        kd.load("r18_dubai")
    path.unlink()
    with pytest.raises(kd.CheckpointError, match="is missing"):
        kd.load("r18_dubai")


def test_info_is_a_copy():
    kd.info("r18_dubai")["classes"].clear()
    assert len(kd.info("r18_dubai")["classes"]) == 5
