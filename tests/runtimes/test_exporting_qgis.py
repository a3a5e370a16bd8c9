"""ONNX files as the QGIS plugin Deepness, and GeoDeep, read and feed them."""

import json

import numpy as np
import onnxruntime
import pytest
from reference import TOLERANCE
from runtimes.foreign_readers import onnx_properties
from scipy.special import softmax
from tiny import tiny_model, tiny_networks, with_statistics

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable

TILE = 64
CLASSES = ClassTable(('roof "flat"', "Straße", "water"))


@pytest.fixture(scope="module")
def model():
    with tiny_networks():
        model = with_statistics(kd.build("r18_d16", 3))
    described = model.metadata.with_classes(CLASSES)
    model.metadata = described.__class__.from_json(
        {**described.to_json(), "resolution_m": 0.25}  # as a run folder has it
    )
    return model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("qgis") / "model.onnx"
    kd.export(model, path, tile=TILE)
    return path


def deepness_settings(path):
    """What Deepness fills its panel with: each key by `json.loads`, then converted."""
    stored = onnx_properties(path)
    read = {
        "model_type": lambda value: str(value).capitalize(),
        "resolution": float,
        "tile_size": int,
        "tiles_overlap": int,
        "seg_thresh": float,
        "seg_small_segment": int,
        "standardization_mean": np.array,
        "standardization_std": np.array,
    }
    found = {key: convert(json.loads(stored[key])) for key, convert in read.items()}
    names = sorted(json.loads(stored["class_names"]).items(), key=lambda pair: int(pair[0]))
    assert [int(key) for key, _ in names] == list(range(len(names)))  # else it raises
    return {**found, "class_names": [name for _, name in names]}


def geodeep_settings(path):
    """What GeoDeep 0.9 reads, and its defaults."""
    stored = onnx_properties(path)
    return {
        "model_type": json.loads(stored.get("model_type", '"Detector"')),
        "class_names": json.loads(stored.get("class_names", "{}")),
        "resolution": float(stored.get("resolution", 10)),
        "tiles_overlap": float(stored.get("tiles_overlap", 5)),
        "seg_thresh": float(stored.get("seg_thresh", 0.5)),
        "seg_small_segment": int(stored.get("seg_small_segment", 11)),
    }


def test_settings_of_deepness(path):
    found = deepness_settings(path)
    assert found.pop("class_names") == list(CLASSES.names)
    assert found.pop("standardization_mean").tolist() == [0, 0, 0]
    assert found.pop("standardization_std").tolist() == [1, 1, 1]
    assert found == {
        "model_type": "Segmentor",
        "resolution": 25,  # centimetres
        "tile_size": TILE,
        "tiles_overlap": 25,
        "seg_thresh": 0,
        "seg_small_segment": 0,
    }
    assert json.loads(onnx_properties(path)["tiles_size"]) == TILE  # its documentation's name


def test_settings_of_geodeep(path):
    assert geodeep_settings(path) == {
        "model_type": "Segmentor",
        "class_names": {"0": 'roof "flat"', "1": "Straße", "2": "water"},
        "resolution": 25,
        "tiles_overlap": 25,
        "seg_thresh": 0,
        "seg_small_segment": 0,
    }


def test_classes_of_tiles(model, path):
    """Fed as both do: uint8 tiles / 255, standardised, channels first, argmax over axis 1."""
    session = onnxruntime.InferenceSession(path)
    (source,), (target,) = session.get_inputs(), session.get_outputs()
    assert source.shape[-3:] == [3, TILE, TILE] and target.shape[-3:] == [3, TILE, TILE]
    settings = deepness_settings(path)
    for count in (1, 2):
        tiles = np.random.default_rng(count).integers(0, 256, (count, TILE, TILE, 3), "uint8")
        scaled = np.float32(tiles * 1.0 / 255.0)
        scaled = (scaled - settings["standardization_mean"]) / settings["standardization_std"]
        batch = np.transpose(scaled, (0, 3, 1, 2)).astype("float32")
        result = session.run(output_names=None, input_feed={source.name: batch})[0]
        expected = softmax(model(tiles.astype("float32"), training=False), -1)
        np.testing.assert_allclose(result, np.moveaxis(expected, -1, 1), rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(result.sum(1), 1, atol=1e-5)
        result[result < settings["seg_thresh"]] = 0.0
        assert (np.argmax(result, axis=1) == expected.argmax(-1)).mean() > 0.999


def test_what_is_unknown_is_said(tmp_path, caplog):
    model = tiny_model(3, channels=4)  # no names of classes, no resolution
    kd.export(model, tmp_path / "model.onnx", tile=32)
    assert f"ground resolution of {model.name} is unknown" in caplog.text
    assert "fixed size" not in caplog.text
    stored = onnx_properties(tmp_path / "model.onnx")
    assert "resolution" not in stored
    assert json.loads(stored["class_names"]) == {"0": "0", "1": "1", "2": "2"}
    assert json.loads(stored["standardization_mean"]) == [0] * 4
    caplog.clear()
    kd.export(model, tmp_path / "open.onnx", tile=32, dynamic=True)
    assert "take files of a fixed size only" in caplog.text
    assert not {"tile_size", "tiles_size"} & set(onnx_properties(tmp_path / "open.onnx"))


def test_values_of_more_than_8_bits(model, tmp_path, caplog):
    record = model.metadata.to_json()
    record["input"] |= {"value_range": [0, 4095], "bands": [1, 2, 3]}
    other = tiny_model(3)
    other.metadata = model.metadata.from_json(record)
    kd.export(other, tmp_path / "model.onnx", tile=32)
    assert "trained on values 0 to 4095" in caplog.text and "resolution" not in caplog.text


def test_raw_files_are_not_for_qgis(model, tmp_path):
    kd.export(model, tmp_path / "model.onnx", tile=32, raw=True)
    assert set(onnx_properties(tmp_path / "model.onnx")) == {"keras_deeplab"}
