"""The options of train and evaluate that describe labelled images, as users give them."""

import json

import numpy as np
import pytest
import rasterio
import test_commands
from fakes import coco as fakes
from in_process import run
from PIL import Image
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.zoo.finding import find_model
from keras_deeplab.zoo.loader import load

MISSING = "Give --images and --masks or --labels, or --pairs, or --dataset."
FORM = ("--bands", "4,1,2", "--value-range", 0, 4095)


@pytest.fixture
def scenes(tmp_path):
    """Two 16-bit scenes of four bands, in which water is what near infrared does not reflect."""
    rng = np.random.default_rng(0)
    for stem in ("north/a", "south/b"):
        image = rng.integers(800, 2500, (64, 72, 4)).astype(np.uint16)
        mask = rng.integers(0, 2, (8, 9)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        image[..., 3] = np.where(mask, 200, 3800)
        write_raster(tmp_path / f"images/{stem}.tif", image)
        write_raster(tmp_path / f"masks/{stem}.tif", mask)
    (tmp_path / "classes.json").write_text('{"classes": [{"name": "land"}, {"name": "water"}]}')
    (tmp_path / "pairs.csv").write_text("image,mask\nimages/north/a.tif,masks/north/a.tif\n")
    (tmp_path / "val.txt").write_text("south/b\n")
    return tmp_path


def training(scenes, output, *options):
    return (
        *("train", "--model", "r18_d16", "--classes", scenes / "classes.json", "--output", output),
        *("--steps", 2, "--crop", 32, "--batch", 2, "--no-aux-head", *options),
    )


def folders(scenes, prefix="--"):
    return (f"{prefix}images", scenes / "images", f"{prefix}masks", scenes / "masks")


@pytest.mark.long
def test_evaluate_and_predict_read_images_as_the_run_did(scenes, tmp_path, tiny_networks):
    output = tmp_path / "run"
    options = ("--pairs", scenes / "pairs.csv", *folders(scenes, "--val-"), *FORM)
    command = training(scenes, output, *options, "--val-split", scenes / "val.txt")
    run(*command)
    assert find_model(output).metadata.form == ImageFormat((4, 1, 2), (0, 4095))
    changed = run(*command, "--resume", "--bands", "1,2,4", check=False)
    assert "bands: [4, 1, 2] there, [1, 2, 4] here" in changed.output

    run("evaluate", output, *folders(scenes), "--json", tmp_path / "metrics.json")
    model, table = load(output), find_model(output).metadata.classes
    dataset = kd.data.from_folder(
        *(scenes / "images", scenes / "masks", table), bands=(4, 1, 2), value_range=(0, 4095)
    )
    metrics = kd.evaluate(model, dataset, num_classes=2)
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["confusion"] == metrics.confusion.tolist()
    assert sum(map(sum, found["confusion"])) == 2 * 64 * 72
    failed = run("evaluate", output, *folders(scenes), "--bands", "1,2", check=False)
    assert "Expected an image of shape (height, width, 3), got (64, 72, 2)" in failed.output

    image = scenes / "images/south/b.tif"
    run("predict", image, "--model", output, "--output", tmp_path / "overlay.png")
    failed = run("predict", image, "--model", "r18_dubai", check=False)
    assert "expected an 8-bit image with RGB, found uint16 with bands 1 " in failed.output


def test_a_run_of_four_bands_is_a_model_for_four_bands(scenes, tmp_path, tiny_networks):
    output = tmp_path / "run"
    run(
        *training(scenes, output, *folders(scenes)),
        *("--bands", "1,2,3,4", "--value-range", 0, 4095),
    )
    trained = kd.build("r18_d16", 2, input_shape=(None, None, 4))
    kd.load_weights(trained, output / "last.weights.h5")
    image = scenes / "images/south/b.tif"
    mask = tmp_path / "mask.png"
    run("predict", image, "--model", output, "--mask", mask, "--output", tmp_path / "overlay.png")
    pixels, _ = ImageFormat((1, 2, 3, 4), (0, 4095)).read(image)
    expected = kd.predict(trained, pixels).argmax(-1)
    with Image.open(mask) as picture:
        np.testing.assert_array_equal(np.asarray(picture), expected)


@pytest.mark.long
def test_a_damaged_image_is_named_without_traceback(scenes, tmp_path):
    image = scenes / "images/north/a.tif"
    image.write_bytes(image.read_bytes()[:9000])
    command = training(scenes, tmp_path / "run", *folders(scenes), *FORM)
    failed = test_commands.run(*command, check=False)
    assert failed.returncode == 1 and "Traceback" not in failed.stderr
    assert f"{image}: cannot be read as a raster" in failed.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), MISSING),
        (
            ("--pairs", "pairs.csv", "--split", "val.txt"),
            MISSING,
        ),
        (
            ("--pairs", "pairs.csv", *FORM, "--val-split", "val.txt"),
            "Give --val-images and --val-masks",
        ),
        (
            ("--pairs", "pairs.csv", "--bands", "4;1"),
            "'4;1' is not a list of numbers",
        ),
        (("--pairs", "pairs.csv", "--bands", "1"), "a.tif is uint16, its values 800 to 2499"),
    ],
)
def test_wrong_options_are_described(scenes, tmp_path, options, message):
    files = {name: scenes / name for name in ("pairs.csv", "val.txt")}
    options = [files.get(option, option) for option in options]
    command = list(map(str, training(scenes, tmp_path / "run", *options)))
    failed = run(*command, check=False)
    assert failed.exit_code and message in " ".join(failed.output.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_mask_values_are_the_classes_of_a_run(scenes, tmp_path, tiny_networks):
    """Without a class table; kept by the run, which is repeated and resumed with the same ones."""
    for stem in ("north/a", "south/b"):
        path = scenes / f"masks/{stem}.tif"
        with rasterio.open(path) as raster:
            mask = raster.read(1)
        write_raster(path, mask * np.uint8(255))
    output, values = tmp_path / "run", ("--mask-values", "0=land,255=water")
    options = (*("--images", scenes / "images", "--masks", scenes / "masks"), *FORM, *values)
    command = ("train", "--model", "r18_d16", "--steps", 2, "--crop", 32, "--batch", 2, *options)
    said = run(*command, "--no-aux-head", "--output", output).output
    assert "train: 2 pairs; land 5" in said and "never labelled" not in said
    assert find_model(output).metadata.classes.names == ("land", "water")
    assert json.loads((output / "run.json").read_text())["options"]["mask_values"] == values[1]
    run(*command, "--no-aux-head", "--output", output, "--resume")
    other = ("--mask-values", "255=land,0=water", "--resume", "--output", output)
    failed = run(*command, "--no-aux-head", *other, check=False)
    assert "mask_values: 0=land,255=water there, 255=land,0=water here" in failed.output
    again = run("train", "--from-run", output, "--output", tmp_path / "again").output
    assert "train: 2 pairs; land 5" in again

    evaluation = ("evaluate", output, *options, "--json", tmp_path / "metrics.json")
    run(*evaluation[:-2], "--mask-values", "255=water,0=land", *evaluation[-2:])
    found = json.loads((tmp_path / "metrics.json").read_text())
    counts = np.bincount(mask.ravel(), minlength=2)
    assert sum(map(sum, found["confusion"])) == 2 * 64 * 72
    assert found["confusion"][1] != [0, 0] and counts.sum() == 64 * 72
    failed = run("evaluate", output, *folders(scenes), *FORM, check=False)
    assert "--mask-values 0=land,255=water" in failed.output
    failed = run(*command, "--mask-values", "0=land,255", check=False)
    assert "'255' names no class" in " ".join(failed.output.split())
    failed = run("evaluate", output, "--dataset", "potsdam", *values, check=False)
    assert "--dataset cannot be combined" in failed.output


@pytest.mark.long
def test_a_coco_file_is_the_labels_of_images(tmp_path, tiny_networks):
    """Trained on a split of it, validated on the rest; repeated, resumed and evaluated."""
    file, labels = fakes.write_cvat(tmp_path / "data")
    (tmp_path / "train.txt").write_text("tile_3\nflight_1/tile\n")
    (tmp_path / "val.txt").write_text("flight_0/tile\n")
    folder, output = tmp_path / "data/images/default", tmp_path / "run"
    command = (
        *("train", "--model", "r18_d16", "--steps", 2, "--crop", 32, "--batch", 2),
        *("--no-aux-head", "--images", folder, "--labels", file, "--split", tmp_path / "train.txt"),
        *("--val-images", folder, "--val-split", tmp_path / "val.txt"),
    )
    said = run(*command, "--output", output).output
    assert "train: 2 pairs; background " in said and "val: 1 pair; background " in said
    assert find_model(output).metadata.classes.names == ("background", "roof", "pool")
    record = json.loads((output / "run.json").read_text())
    assert record["options"]["labels"] == str(file)
    assert record["data"]["train"]["files"] == 3  # the annotations count once
    run(*command, "--output", output, "--resume")
    run("train", "--from-run", output, "--output", tmp_path / "again")
    evaluation = ("evaluate", output, "--images", folder, "--labels", file)
    run(*evaluation, "--json", tmp_path / "metrics.json")
    found = json.loads((tmp_path / "metrics.json").read_text())["confusion"]
    wanted = np.bincount(np.stack(list(labels.values())).ravel(), minlength=3)
    assert [sum(row) for row in found] == wanted.tolist()
    failed = run(*evaluation, "--class-field", "kind", check=False)
    assert "--class-field: only for polygons" in failed.output
    (tmp_path / "sheet").mkdir()
    checked = ("prepare", "--check", "--images", folder, "--labels", file)
    assert "pool" in run(*checked, "--output", tmp_path / "sheet").output
    assert Image.open(tmp_path / "sheet/labels.png").size[0] > 500
