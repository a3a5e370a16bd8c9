"""`predict` as users call it, on the kinds of images they have."""

import json
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from in_process import run
from PIL import Image
from rasterio.control import GroundControlPoint
from rasters import PLACE, write_raster

import keras_deeplab as kd
from keras_deeplab.checkpoints.keras_files import save_keras_weights

RGB = np.random.default_rng(0).integers(0, 255, (64, 80, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def model(tmp_path, tiny_networks):
    """Folder of a run: a tiny network of random weights with the classes of r18_dubai."""
    network = kd.build("r18_d16", 5)
    folder = tmp_path / "model"
    folder.mkdir()
    save_keras_weights(network, folder / "last.weights.h5")
    classes = {"classes": kd.info("r18_dubai")["classes"]}
    record = {"version": 2, **network.metadata.to_json(), **classes}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def mask_of(image, folder, *options):
    """Class indices that `predict` writes for an image, and Click's result."""
    result = run(
        "predict", image, "--model", folder / "model", "--mask", folder / "m.png", *options
    )
    with Image.open(folder / "m.png") as picture:
        assert picture.mode == "P"
        return np.asarray(picture), result


@pytest.fixture
def expected(model):
    """Class indices of the whole image, from the function."""
    return kd.predict(kd.load(model), RGB).argmax(-1)


def test_the_model_tells_classes_apart(expected):
    """Or the other tests would show little."""
    assert len(np.unique(expected)) > 2


def test_pixels_without_data_get_no_class_and_no_area(tmp_path):
    image = RGB.copy()
    image[:20] = 0
    write_raster(tmp_path / "scene.tif", image, nodata=0)
    labels, result = mask_of(tmp_path / "scene.tif", tmp_path, "--output", tmp_path / "o.png")
    assert (labels[:20] == 255).all() and (labels[20:] < 5).all()
    row = next(line for line in result.output.splitlines() if "no data" in line)
    assert f"{20 * 80:,}" in row
    shares = [float(line.split("│")[3].strip("% ")) for line in result.output.splitlines()[3:8]]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    with Image.open(tmp_path / "o.png") as picture:
        assert picture.width > 160


def test_alpha_is_a_mask_not_a_band(tmp_path, model):
    alpha = np.full((64, 80, 1), 255, np.uint8)
    alpha[:, :10] = 0
    Image.fromarray(np.concatenate([RGB, alpha], -1)).save(tmp_path / "rgba.png")
    labels, _ = mask_of(tmp_path / "rgba.png", tmp_path)
    assert (labels[:, :10] == 255).all()
    image = RGB.copy()
    image[:, :10] = 0  # as pixels without data are read
    again = kd.predict(kd.load(model), image).argmax(-1)
    np.testing.assert_array_equal(labels[:, 10:], again[:, 10:])
    np.testing.assert_array_equal(
        labels, mask_of(tmp_path / "rgba.png", tmp_path, "--bands", "1,2,3")[0]
    )


def test_one_grey_band_is_read_as_three(tmp_path, model, caplog):
    Image.fromarray(RGB[..., 0]).save(tmp_path / "grey.png")
    labels, _ = mask_of(tmp_path / "grey.png", tmp_path)
    grey = kd.predict(kd.load(model), RGB[..., :1].repeat(3, -1)).argmax(-1)
    np.testing.assert_array_equal(labels, grey)
    assert "one band" in caplog.text and "1,1,1" in caplog.text


def test_bands_and_value_range_of_another_file(tmp_path, model, expected):
    deep = np.concatenate([RGB[..., :1], RGB[..., ::-1]], -1).astype(np.uint16) * 16
    write_raster(tmp_path / "deep.tif", deep)
    labels, _ = mask_of(
        tmp_path / "deep.tif", tmp_path, "--bands", "4,3,2", "--value-range", 0, 255 * 16
    )
    np.testing.assert_array_equal(labels, expected)
    result = run("predict", tmp_path / "deep.tif", "--model", model, check=False)
    assert (
        result.exit_code == 1 and "deep.tif" in result.output and "Traceback" not in result.output
    )


def test_a_geotiff_lies_where_its_image_lies(tmp_path, model, expected):
    write_raster(tmp_path / "scene.tif", RGB)
    run("predict", tmp_path / "scene.tif", "--model", model, "--mask", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as target:
        assert target.crs == PLACE["crs"] and target.transform == PLACE["transform"]
        assert target.nodata == 255 and target.dtypes == ("uint8",)
        np.testing.assert_array_equal(target.read(1), expected)
        assert target.colormap(1)[0][:3] == (60, 16, 152)


def test_ground_control_points_are_kept(tmp_path, model):
    points = [
        GroundControlPoint(row, column, 300_000 + column, 2_800_000 - row)
        for row, column in ((0, 0), (0, 80), (64, 0))
    ]
    write_raster(tmp_path / "gcps.tif", RGB, transform=None, gcps=points)
    run("predict", tmp_path / "gcps.tif", "--model", model, "--mask", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as target:
        found, crs = target.gcps
        assert crs == PLACE["crs"] and [(p.row, p.x) for p in found] == [
            (p.row, p.x) for p in points
        ]


def test_a_picture_without_georeference_gives_a_tif_without(tmp_path, model):
    Image.fromarray(RGB).save(tmp_path / "picture.png")
    run("predict", tmp_path / "picture.png", "--model", model, "--mask", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as target:
        assert target.crs is None and target.transform.is_identity


def test_formats_that_blur_classes_are_refused_before_any_work(tmp_path, model):
    Image.fromarray(RGB).save(tmp_path / "picture.png")
    command = ("predict", tmp_path / "picture.png", "--model", model)
    result = run(*command, "--mask", tmp_path / "map.jpg", check=False)
    assert result.exit_code == 1 and "map.jpg: a class map is written as .png" in result.output
    result = run(*command, "--output", tmp_path / "map.shp", check=False)
    assert result.exit_code == 1 and "map.shp: pictures cannot be written as .shp" in result.output
    result = run(*command, "--output", tmp_path / "picture.png/map.png", check=False)
    assert result.exit_code == 2 and "is not a writable folder" in result.output
    result = run(*command, "--window", 8, check=False)
    assert result.exit_code == 2 and "--window" in result.output
    result = run(*command, "--protocol", "published", "--flip", check=False)
    assert "--protocol cannot be combined with" in result.output


def test_a_protocol_by_name(tmp_path, model):
    image = RGB.repeat(2, 0).repeat(2, 1)
    Image.fromarray(image).save(tmp_path / "picture.png")
    labels, _ = mask_of(tmp_path / "picture.png", tmp_path, "--protocol", "published_ms_flip")
    probabilities = kd.predict(kd.load(model), image, protocol="published_ms_flip")
    np.testing.assert_array_equal(labels, probabilities.argmax(-1))


def test_a_protocol_stays_in_float32_unless_told_otherwise(tmp_path, expected, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_PRECISION", "bfloat16")  # what "auto" means
    picture = tmp_path / "picture.png"
    Image.fromarray(RGB).save(picture)
    published = ("--protocol", "published")
    np.testing.assert_array_equal(mask_of(picture, tmp_path, *published)[0], expected)
    rounded, _ = mask_of(picture, tmp_path)
    assert 0.5 < (rounded == expected).mean() < 1
    told, _ = mask_of(picture, tmp_path, *published, "--precision", "bfloat16")
    np.testing.assert_array_equal(told, rounded)


def test_a_converted_model_needs_no_tensorflow(tmp_path, model, expected, monkeypatch):
    """In a new process: the first call converts the model, a second one starts without it."""
    monkeypatch.setenv("KERAS_DEEPLAB_HOME", str(tmp_path / "cache"))
    picture = tmp_path / "picture.png"
    Image.fromarray(RGB).save(picture)
    options = ("--runtime", "openvino", "--precision", "float32")
    first, _ = mask_of(picture, tmp_path, *options)
    assert (first == expected).mean() > 0.99
    arguments = ["predict", str(picture), "--model", str(model), *options]
    arguments += ["--mask", str(tmp_path / "again.png"), "--output", str(tmp_path / "overlay.png")]
    code = (
        "import sys\n"
        "from keras_deeplab.commands.group import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'keras', 'tensorflow', 'openvino'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    assert ended.stdout.endswith("['openvino']\n") and not ended.stderr
    with Image.open(tmp_path / "again.png") as again:
        np.testing.assert_array_equal(np.asarray(again), first)


def test_an_rgb_file_for_an_infrared_model_is_warned_of_once(tmp_path, model, caplog):
    """A run that notes the channels of Vaihingen."""
    record = json.loads((model / "run.json").read_text())
    record["input"]["channels"] = ["nir", "red", "green"]
    (model / "run.json").write_text(json.dumps(record))
    Image.fromarray(RGB).save(tmp_path / "picture.png")
    run("predict", tmp_path / "picture.png", "--model", model)
    (warning,) = [r.getMessage() for r in caplog.records if "trained on" in r.getMessage()]
    assert "red, green, blue" in warning and "nir, red, green" in warning
