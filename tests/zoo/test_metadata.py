"""What a model knows of itself, wherever it comes from."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jsonschema
import numpy as np
import pytest

import keras_deeplab as kd
from keras_deeplab._internal import resources
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.data.datasets.registry import dataset_spec
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.zoo.finding import entry_metadata
from keras_deeplab.zoo.run_folders import run_record

CLASSES = pathlib.Path(__file__).parents[2] / "examples/dubai/classes.json"
TABLE = kd.data.ClassTable(("roof", "<b>pool</b>"), ((255, 0, 0), (0, 0, 255)), ((0, 0, 0),))
EVERYTHING = kd.ModelMetadata(
    variant="r18_d16",
    classes=TABLE,
    name="r18_town",
    channels=("nir", "red", "green", "height"),
    bands=(4, 1, 2, 5),
    value_range=(0.0, 4000.0),
    mean=(1.0, 2.0, 3.0, 4.0),
    std=(5.0, 6.0, 7.0, 8.0),
    resolution_m=0.13,
    tile_size=256,
    licence="CC0-1.0",
    output_stride=8,
    multi_grid=(1, 2),
)


@pytest.mark.parametrize("metadata", [EVERYTHING, kd.ModelMetadata("r18_d8", TABLE)])
def test_json_holds_the_whole_record(metadata):
    text = json.dumps(metadata.to_json())
    assert kd.ModelMetadata.from_json(json.loads(text)) == metadata
    assert metadata.form == ImageFormat(metadata.bands, metadata.value_range)


def test_wrong_records_are_named():
    with pytest.raises(ValueError, match=r"mine\.json: expected the metadata of a model"):
        kd.ModelMetadata.from_json({"variant": "r18_d8"}, where="mine.json")


@pytest.mark.parametrize("name", kd.list_models())
def test_an_entry_says_what_its_dataset_says(name):
    metadata = entry_metadata(name, kd.info(name))
    dataset = name.split("_")[1]
    if dataset in {known.split("/")[0] for known in kd.data.list_datasets()}:
        spec = dataset_spec(dataset)
        assert metadata.classes.names == spec.classes.names
        assert metadata.resolution_m == spec.resolution_m
        assert metadata.tile_size == spec.crop
    infrared = dataset == "vaihingen"
    assert metadata.channel_names == ("IR-R-G" if infrared else "RGB")
    assert metadata.name == name and metadata.num_channels == 3


def test_the_record_of_a_run_follows_the_schema_of_the_zoo():
    schema = json.loads((resources.zoo_dir() / "manifest.schema.json").read_text())
    record = EVERYTHING.to_json()
    known = schema["$defs"]["entry"]["properties"]
    part = {"$defs": schema["$defs"], "properties": known}
    assert record.keys() - known.keys() == {"name", "licence"}  # of the key, and of the weights
    jsonschema.validate({key: record[key] for key in record if key in known}, part)


def test_a_notebook_shows_classes_and_colours_and_no_foreign_markup():
    page = EVERYTHING._repr_html_()
    for text in ("r18_town", "IR-R-G-height", "0.13 m", "CC0-1.0", "#ff0000", "&lt;b&gt;pool"):
        assert text in page
    assert "<b>pool" not in page


def test_load_sets_it():
    model = kd.load("r18_dubai")
    assert model.metadata == entry_metadata("r18_dubai", kd.info("r18_dubai"))
    assert model.metadata.classes == kd.data.read_class_table(CLASSES)


def test_the_network_of_a_run_is_that_of_its_record(tmp_path):
    """Here of another output stride than the variant's."""
    model = kd.build("r18_d16", 2, output_stride=8)
    save_keras_weights(model, tmp_path / "last.weights.h5")
    (tmp_path / "run.json").write_text(json.dumps(run_record(model.metadata)))
    image = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3)).astype("uint8")
    found = kd.load(tmp_path)(image, training=False)
    np.testing.assert_allclose(found, model(image, training=False), atol=1e-5)


@pytest.mark.long
def test_keras_files_keep_it(tmp_path, tiny_networks):
    """Whichever package is imported first."""
    model = kd.build("r18_d16", 3, output_stride=8)
    assert model.metadata.output_stride == 8
    model.save(tmp_path / "model.keras")
    code = (
        "import {}, {}\n"
        "model = keras.saving.load_model('model.keras')\n"
        "print(__import__('json').dumps(model.metadata.to_json()))"
    )
    for first, second in (("keras", "keras_deeplab"), ("keras_deeplab", "keras")):
        result = subprocess.run(
            [sys.executable, "-c", code.format(first, second)],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        assert json.loads(result.stdout) == model.metadata.to_json()


def test_a_built_model_has_numbered_classes():
    built = kd.build("r18_d16", 3, input_shape=(None, None, 4), include_preprocessing=False)
    metadata = built.metadata
    assert metadata.classes.names == ("class_0", "class_1", "class_2")
    assert metadata.channels is None and metadata.bands == (1, 2, 3, 4)
    assert metadata.mean is None and "none" in metadata.rows()["normalisation"]
    assert kd.build("r18_d16", 300).metadata is None


def test_other_options_change_the_record():
    model = kd.load("r18_dubai", num_classes=2, output_stride=16, include_preprocessing=False)
    trained = entry_metadata("r18_dubai", kd.info("r18_dubai"))
    assert model.metadata == dataclasses.replace(
        trained,
        classes=kd.data.ClassTable(("class_0", "class_1")),
        name=None,
        licence=None,
        output_stride=16,
        mean=None,
        std=None,
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "first",
    [
        "import keras_deeplab.models.layers",
        "import keras_deeplab.training.region_losses",
        "import keras_deeplab.zoo.run_folders",
        "import keras_deeplab as kd; kd.Recipe",
    ],
)
def test_any_module_may_be_the_first_to_import_keras(first):
    code = (
        f"{first}\nimport keras, keras_deeplab as kd\nkd.list_models\n"
        "assert keras.saving.get_registered_object('keras_deeplab>DeepLabV3Plus')\n"
        "assert keras.saving.get_registered_object('keras_deeplab>ModelMetadata')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
