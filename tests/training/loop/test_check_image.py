"""The check image of a run: the middle of a validation image, once and for all."""

import in_process
import numpy as np
import pytest
from rasters import write_raster
from tiny import blocks, tiny_model
from training.loop.test_train import PLAIN, At, Failure, fail, run

import keras_deeplab as kd
from keras_deeplab.data.files.rasters import open_raster
from keras_deeplab.training.loop.check_image import keep_check_image
from keras_deeplab.zoo.check_images import read_check_image

pytestmark = pytest.mark.filterwarnings("error::rasterio.errors.NotGeoreferencedWarning")
QUICK = kd.Recipe(**{**PLAIN, "steps": 2})


def first_image(dataset):
    return next(iter(dataset.as_numpy_iterator()))[0]


def check_image(folder):
    assert not list(folder.glob(".*"))
    return read_check_image(folder / "check_image.tif")


def test_the_command_writes_it(labelled_folder, tmp_path, tiny_networks):
    images, masks, table = (labelled_folder / name for name in ("images", "masks", "classes.json"))
    in_process.run(
        *("train", "--model", "r18_d16", "--no-aux-head", "--classes", table),
        *("--images", images, "--masks", masks, "--val-images", images, "--val-masks", masks),
        *("--output", tmp_path / "run", "--steps", 1, "--crop", 32, "--batch", 2),
    )
    classes = kd.data.read_class_table(table)
    found = check_image(tmp_path / "run")
    assert found.dtype == np.uint8 and found.shape == (64, 80, 3)
    np.testing.assert_array_equal(found, first_image(kd.data.from_folder(images, masks, classes)))


@pytest.fixture
def scenes(tmp_path):
    """A dataset of one 16-bit scene of four bands, larger than a check image, with nodata."""
    rng = np.random.default_rng(0)
    image = rng.integers(1, 4096, (531, 600, 4)).astype(np.uint16)
    image[300:320, 300:350] = 0
    write_raster(tmp_path / "images/a.tif", image, nodata=0)
    write_raster(tmp_path / "masks/a.tif", rng.integers(0, 2, (531, 600)).astype(np.uint8))
    return kd.data.from_folder(
        *(tmp_path / "images", tmp_path / "masks", ["dark", "bright"]),
        bands=(4, 1, 2, 3),
        value_range=(0, 4095),
    )


def train(output, scenes, **options):
    kd.train(
        tiny_model(channels=4),
        scenes,
        recipe=QUICK,
        output=output,
        classes=["dark", "bright"],
        **{"validation": scenes, "save_every": 1, **options},
    )


def test_it_is_what_the_model_sees_and_stays(scenes, tmp_path):
    output = tmp_path / "run"
    path = output / "check_image.tif"
    output.mkdir()
    path.write_text("of a start that failed")
    with pytest.raises(Failure):
        train(output, scenes, callbacks=[At(1, fail)])
    found, written = check_image(output), path.read_bytes()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, first_image(scenes)[9:521, 44:556])
    assert not found[291:311, 256:306].any() and found.max() > 254
    with open_raster(path) as raster:
        assert raster.crs is None and raster.transform.is_identity
        assert raster.compression.name == "deflate"

    other = scenes.map(lambda image, label: (255 - image, label))
    train(output, other, resume=True)
    assert path.read_bytes() == written


def test_without_validation_there_is_none(tmp_path):
    (tmp_path / "check_image.tif").write_text("of a start that failed")
    (tmp_path / ".17-check_image.tif").touch()  # of a process that was killed
    run(tmp_path, recipe=QUICK, validation=None)
    assert not (tmp_path / "check_image.tif").exists() and not list(tmp_path.glob(".*"))


def test_black_images_are_skipped(tmp_path):
    images, labels = next(iter(blocks().batch(4).as_numpy_iterator()))
    black = np.zeros_like(images[:2])  # as `BadFiles` yields unreadable ones
    batches = [(black, labels[:2]), (images[2:], labels[2:])]
    keep_check_image(tmp_path, batches[:1], resume=False)
    assert not list(tmp_path.iterdir())
    keep_check_image(tmp_path, batches, resume=True)  # of a run without one, of an older version
    np.testing.assert_array_equal(check_image(tmp_path), images[2])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_any_bands(tmp_path, channels, dtype):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, channels)).astype(dtype)
    keep_check_image(tmp_path, [(image, image[..., 0])], resume=False)
    found = check_image(tmp_path)
    assert found.dtype == ("uint8" if dtype == "uint8" else "float32")
    np.testing.assert_array_equal(found, image)
    with open_raster(tmp_path / "check_image.tif") as raster:  # by GDAL's default the fourth is
        assert "alpha" not in {color.name for color in raster.colorinterp}
