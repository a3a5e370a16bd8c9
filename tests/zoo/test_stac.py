"""STAC items: valid under the schemas of STAC and MLM, readable by pystac, true of the model."""

import copy
import dataclasses
import hashlib
import json
import pathlib
from urllib.parse import unquote, urlsplit

import jsonschema
import keras
import numpy as np
import pystac
import pytest
import referencing
from in_process import run
from pystac.extensions.mlm import MLMExtension
from pystac.validation.local_validator import get_local_schema_cache
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab._internal.resources import zoo_dir
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.zoo.metadata import ModelMetadata
from keras_deeplab.zoo.stac import licence_fields, stac_item
from keras_deeplab.zoo.stac_entry import entry_item
from keras_deeplab.zoo.stac_exported import exported_item, write_exported_item

SCHEMAS = pathlib.Path(__file__).parent / "stac_schemas"
CARDS = zoo_dir() / "cards"
SITE = "https://stac-extensions.github.io"
NCHW = {"layout": "NCHW", "value_range": [0, 1], "size": [512, 640], "output": "probabilities"}
NHWC = {"layout": "NHWC", "value_range": [0, 255], "size": None, "output": "logits"}
MODEL = {"model": {"href": "model.keras"}}
FORMS = {"onnx": NCHW, "openvino": NCHW, "litert": NHWC, "tf_saved_model": NHWC, "keras": NHWC}


def schemas():
    """URI to schema. A reference to another one is an error, never a download."""
    found = get_local_schema_cache()
    for path in SCHEMAS.glob("*.json"):
        name, _, version = path.stem.rpartition("-")
        found[f"{SITE}/{name}/{version}/schema.json"] = json.loads(path.read_text())
    # MLM refers to this one; of a class it asks for no more than 2.0.0 and a description.
    found[f"{SITE}/classification/v1.1.0/schema.json"] = found[
        f"{SITE}/classification/v2.0.0/schema.json"
    ]
    return found


def problems(item):
    """What the schemas of STAC and of the extensions of an item say against it."""
    known = schemas()
    resources = [(uri, referencing.Resource.from_contents(schema)) for uri, schema in known.items()]
    registry = referencing.Registry().with_resources(resources)
    item = json.loads(json.dumps(item))  # lists for tuples
    core = f"https://schemas.stacspec.org/v{item['stac_version']}/item-spec/json-schema/item.json"
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    return [
        f"{error.json_path}: {error.message}"
        for uri in (core, *item["stac_extensions"])
        for error in jsonschema.Draft7Validator(
            known[uri], registry=registry, format_checker=checker
        ).iter_errors(item)
    ]


def card_item(name):
    return json.loads((CARDS / f"{name}.stac.json").read_text())


@pytest.mark.parametrize("name", kd.list_models())
def test_item_of_each_entry(name):
    item = card_item(name)
    assert item == json.loads(json.dumps(entry_item(name, kd.info(name), "..")))
    assert problems(item) == []
    assert pystac.Item.from_dict(item).to_dict(False, transform_hrefs=False) == item
    for link in [*item["links"], *item["assets"].values()]:
        if not urlsplit(link["href"]).scheme:
            assert (CARDS / link["href"]).is_file()


@pytest.mark.parametrize(
    "fault",
    [
        lambda item: item["properties"].pop("mlm:input"),
        lambda item: item["properties"].pop("bands"),
        lambda item: item["properties"].pop("end_datetime"),
        lambda item: item["properties"].update({"license": "CC BY 4.0"}),
        lambda item: item["properties"].update({"mlm:unknown": 1}),
        lambda item: item["assets"]["model"].pop("mlm:artifact_type"),
        lambda item: item["assets"]["model"].update({"file:checksum": "sha256:00"}),
        lambda item: item["properties"]["mlm:output"][0]["classification:classes"][0].pop("name"),
    ],
)
def test_schemas_find_faults(fault):
    item = card_item("r18_dubai")
    broken = copy.deepcopy(item)
    fault(broken)
    assert problems(item) == [] and problems(broken)


@pytest.fixture(scope="module")
def model():
    return kd.load("r18_dubai")


def test_item_is_true_of_the_model(model):
    item = pystac.Item.from_dict(card_item("r18_dubai"))
    mlm = MLMExtension.ext(item)
    axes = ["batch", "height", "width"]
    for structure, tensor, last in (
        (mlm.input[0].input, model.inputs[0], "channel"),
        (mlm.output[0].result, model.outputs[0], "class"),
    ):
        assert structure.shape == [-1 if side is None else side for side in tensor.shape]
        assert structure.dim_order == [*axes, last] and structure.data_type == tensor.dtype
    assert mlm.input[0].bands == [band["name"] for band in item.properties["bands"]]
    assert mlm.total_parameters == model.count_params()
    assert mlm.framework == "Keras" and mlm.mlm_name == "r18_dubai"
    classes = mlm.output[0].to_dict()["classification:classes"]
    table = model.metadata.classes
    assert [row["title"] for row in classes] == list(table.names)
    colors = [tuple(bytes.fromhex(row["color_hint"])) for row in classes]
    assert colors == list(table.palette)
    assert all(row["description"] for row in classes)  # classification 1.1.0 requires it


def test_weights_and_figures_of_the_bundled_entry():
    entry, item = kd.info("r18_dubai"), card_item("r18_dubai")
    asset = item["assets"]["model"]
    content = (CARDS / asset["href"]).read_bytes()
    assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    assert asset["file:size"] == len(content)
    measured = item["properties"]["keras_deeplab:measured"]
    assert [row["mIoU"] for row in measured] == [row["mIoU"] for row in entry["measured"]]
    assert [row["command"] for row in measured] == [row["command"] for row in entry["measured"]]
    assert list(measured[0]["IoU"]) == [row["name"] for row in entry["classes"]]


def test_published_and_unavailable_entries():
    asset = card_item("r50_vaihingen")["assets"]["model"]
    assert asset["href"] == kd.info("r50_vaihingen")["weights"]["url"]
    assert asset["mlm:framework"] == "PyTorch"
    assert "file:checksum" not in asset  # only its first eight digits are known
    item = card_item("r50_vaihingen")
    assert item["properties"]["mlm:input"][0]["bands"] == ["nir", "red", "green"]
    assert item["properties"]["gsd"] == kd.info("r50_vaihingen")["resolution_m"]
    hidden = card_item("r18_loveda_urban")
    assert hidden["assets"] == {} and hidden["properties"]["mlm:input"][0]["bands"] == []
    assert "RGB" in hidden["properties"]["mlm:input"][0]["description"]
    assert kd.info("r18_loveda_urban")["unavailable"] in hidden["properties"]["description"]


@pytest.mark.slow
def test_parameters_of_the_manifest_are_those_of_the_networks():
    said = {}
    for name in kd.list_models():
        entry = kd.info(name)
        said.setdefault((entry["variant"], len(entry["classes"])), set()).add(entry["parameters"])
    assert said == {network: {kd.build(*network).count_params()} for network in said}


def test_info_prints_the_item():
    item = json.loads(run("info", "r18_dubai", "--stac").stdout)
    assert problems(item) == []
    href = item["assets"]["model"]["href"]
    path = pathlib.Path(unquote(urlsplit(href).path))
    assert path.name == "r18_dubai.weights.h5" and path.is_file()


@pytest.fixture
def metadata():
    classes = ClassTable(("Wald / Bäume", "水", "road"))
    return ModelMetadata("r18_d16", classes, mean=(1.5, 2.5), std=(3.0, 4.0), channels=None)


@pytest.mark.parametrize("name", FORMS)
def test_item_of_an_exported_file(name, metadata, tmp_path):
    metadata = dataclasses.replace(metadata, channels=("red", "nir"), bands=(4, 8), licence="mine!")
    path = tmp_path / ("roofs" if name == "tf_saved_model" else "roofs.xml")
    for file in [] if name == "tf_saved_model" else [path, path.with_suffix(".bin")]:
        file.write_bytes(file.suffix.encode())
    exported = {"format": name, **FORMS[name], "agreement": {}}
    item = exported_item(metadata, path, exported, parameters=7)
    assert problems(item) == []
    assert write_exported_item(metadata, path, exported, parameters=7).read_text()
    assert json.loads((tmp_path / f"{path.name}.stac.json").read_text()) == json.loads(
        json.dumps(item)
    )
    assert pystac.Item.from_dict(item).to_dict(False, transform_hrefs=False) == item
    image, result = item["properties"]["mlm:input"][0], item["properties"]["mlm:output"][0]
    if FORMS[name] is NCHW:
        assert image["input"]["shape"] == [-1, 2, 512, 640]
        assert result["result"]["shape"] == [-1, 3, 512, 640]
        assert result["result"]["dim_order"] == ["batch", "class", "height", "width"]
        assert image["value_scaling"] == [{"type": "min-max", "minimum": 0, "maximum": 255}]
    else:
        assert image["input"]["shape"] == [-1, -1, -1, 2]
        assert result["result"]["shape"] == [-1, -1, -1, 3]
        assert image["value_scaling"] is None
    names = [row["name"] for row in result["classification:classes"]]
    assert names == ["Wald_B_ume", "class_1", "road"]
    assert item["properties"]["bands"][1]["description"].startswith("Band 8 ")
    assert item["properties"]["keras_deeplab:licence"] == "mine!"
    assert item["properties"]["mlm:total_parameters"] == 7
    checksums = {key: asset.get("file:checksum") for key, asset in item["assets"].items()}
    expected = {"model": path, "weights": path.with_suffix(".bin")}
    assert set(checksums) == set(expected if name == "openvino" else ["model"])
    for key, checksum in checksums.items():
        if name != "tf_saved_model":
            digest = hashlib.sha256(expected[key].read_bytes()).hexdigest()
            assert checksum == f"1220{digest}"


def test_item_of_a_real_keras_file(tiny_networks, tmp_path):
    model = kd.build("r18_d16", 4)
    path = tmp_path / "tiny.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    item = exported_item(loaded.metadata, path, {"format": "keras", **NHWC})
    assert problems(item) == []
    shape = item["properties"]["mlm:input"][0]["input"]["shape"]
    image = np.zeros([{-1: 64}.get(side, side) for side in shape], np.float32)
    result = item["properties"]["mlm:output"][0]["result"]["shape"]
    assert loaded(image).shape[-1] == result[-1] == 4
    assert "license" not in item["properties"]


def test_unknown_channels_and_normalised_images(metadata):
    item = stac_item(metadata, "x", MODEL)
    assert "bands" not in item["properties"]
    assert item["properties"]["mlm:input"][0]["bands"] == []
    assert item["properties"]["mlm:input"][0]["input"]["shape"][-1] == 2
    bare = dataclasses.replace(metadata, mean=None, std=None, bands=(4, 8))
    item = stac_item(bare, "x", MODEL)
    assert item["properties"]["mlm:input"][0]["bands"] == ["band_4", "band_8"]
    assert "value_scaling" not in item["properties"]["mlm:input"][0]
    assert "ormalised" in item["properties"]["mlm:input"][0]["description"]


def test_value_scaling_is_what_reading_does(metadata, tmp_path):
    """The expression, evaluated as gdal_calc does, equals what `ImageFormat` reads."""
    pixels = np.array([[0, 900, 1000, 5000, 9000, 60000]], np.uint16)
    write_raster(tmp_path / "a.tif", pixels)
    bands = dataclasses.replace(metadata, bands=(1,), value_range=(1000.0, 9000.0))
    read, _ = bands.form.read(tmp_path / "a.tif")
    (scaling,) = stac_item(bands, "x", MODEL)["properties"]["mlm:input"][0]["value_scaling"]
    assert scaling["type"] == "processing" and scaling["format"] == "gdal-calc"
    numbers = eval(scaling["expression"], {"A": pixels.astype(np.float32), "clip": np.clip})
    np.testing.assert_allclose(numbers, read[..., 0], rtol=1e-6)


def test_licences():
    assert licence_fields(None) == {}
    assert licence_fields("CC-BY-4.0") == {"license": "CC-BY-4.0"}
    text = "Apache-2.0, as mmsegmentation"
    assert licence_fields(text) == {"license": "other", "keras_deeplab:licence": text}
