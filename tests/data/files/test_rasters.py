"""GeoTIFFs: bands, value ranges, pixels without data, coordinates."""

import pathlib

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.rasters import BLOCK

NAIP = pathlib.Path(__file__).parents[1] / "georef/naip.tif"


@pytest.fixture
def folder(tmp_path):
    """A function that writes an image and a mask and loads them."""

    def load(image, mask=None, *, image_options=None, mask_options=None, classes="ab", **options):
        mask = np.zeros(image.shape[:2], np.uint8) if mask is None else mask
        write_raster(tmp_path / "images/a.tif", image, **(image_options or {}))
        write_raster(tmp_path / "masks/a.tif", mask, **(mask_options or {}))
        return read(tmp_path, classes, **options)

    return load


def read(folder, classes, **options):
    classes = classes if isinstance(classes, ClassTable) else list(classes)
    dataset = kd.data.from_folder(folder / "images", folder / "masks", classes, **options)
    return next(dataset.as_numpy_iterator())


def test_bands_of_a_real_scene(folder):
    with rasterio.open(NAIP) as raster:
        scene = np.moveaxis(raster.read(), 0, -1)
    for bands in ((4, 1, 2), (1, 2, 3, 4), (2,), (1, 1, 1)):
        image, _ = folder(scene, bands=bands)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, scene[..., [band - 1 for band in bands]])


def test_bands_must_be_stated_and_there(folder):
    scene = np.ones((40, 40, 4), np.uint8)
    options = {"image_options": {"photometric": "RGB"}}
    with pytest.raises(ValueError, match=r"a.tif has 4 bands: 1 red, 2 green, 3 blue, 4 undefin"):
        folder(scene, **options)
    with pytest.raises(ValueError, match=r"a.tif has no band 5, only 1 red, 2 green, 3 blue, 4"):
        folder(scene, bands=(1, 5), **options)
    for bands in ((), (0, 1, 2), ("1",)):
        with pytest.raises(ValueError, match="integers counted from 1"):
            folder(scene, bands=bands)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_a_value_range_maps_linearly_and_clips(folder, dtype):
    stored = np.arange(1600 * 3).reshape(40, 40, 3) % (251 if dtype == "uint8" else 4001)
    if dtype == "int32":
        stored = stored + 2**30  # which float32 would round
    low, high = (50, 200) if dtype == "uint8" else (500, 3000)
    offset = stored.min()
    image, _ = folder(stored.astype(dtype), value_range=(low + offset, high + offset))
    assert image.dtype == np.float32 and (image.min(), image.max()) == (0, 255)
    expected = np.interp(stored - offset, [low, high], [0, 255])
    np.testing.assert_allclose(image, expected, atol=1e-4)


def test_no_scale_is_guessed(folder):
    """The error helps to choose: it says what is in the file, without its nodata value."""
    stored = np.full((40, 40, 3), 700, np.int16)
    stored[3, 4], stored[-1, -1, 1], stored[9:] = 12, 3456, -9999
    with pytest.raises(ValueError, match=r"value_range=.*\n.*a.tif is int16, its values 12 to 700"):
        folder(stored, image_options={"nodata": -9999})
    with pytest.raises(ValueError, match=r"a.tif is float32, its values 700 to 700"):
        folder(np.where(stored == 700, stored, np.nan).astype(np.float32), bands=(2, 3, 1))
    for value_range in ((5, 5), (9, 2), (0, np.inf), (1, 2, 3)):
        with pytest.raises(ValueError, match=r"\(low, high\) with low < high"):
            folder(stored, value_range=value_range)


def test_pixels_without_data_are_low_and_ignored(folder):
    """Of the nodata value all bands must have it; one NaN is enough, as no number stands for it."""
    stored = np.full((40, 40, 3), 50.0, np.float32)
    stored[0, 0] = stored[1, 1, 2] = -1  # nodata in all bands; in one
    stored[2, 2, 0], stored[3, 3, 1] = np.nan, np.inf
    options = {"image_options": {"nodata": -1}, "value_range": (0, 100)}
    image, label = folder(stored, np.ones((40, 40), np.uint8), **options)
    expected = np.ones((40, 40))
    expected[[0, 2, 3], [0, 2, 3]] = 255
    np.testing.assert_array_equal(label, expected)
    assert (image[label == 255] == 0).all()
    assert image[1, 1].tolist() == [127.5, 127.5, 0]


def test_transparent_pixels_of_an_8_bit_image_are_ignored(folder):
    stored = np.full((40, 40, 4), 9, np.uint8)
    stored[5, 6, 3] = 0
    image, label = folder(
        stored, bands=(1, 2, 3), image_options={"photometric": "RGB", "alpha": "yes"}
    )
    assert np.argwhere(label).tolist() == [[5, 6]] and label[5, 6] == 255
    assert image[5, 6].tolist() == [0, 0, 0]


@pytest.mark.parametrize("nodata", [7, 0])
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_nodata_of_a_mask_is_ignored(folder, nodata, dtype):
    mask = np.ones((40, 40), dtype)
    mask[4, 5] = nodata
    _, label = folder(np.ones((40, 40, 3), "u1"), mask, mask_options={"nodata": nodata})
    assert np.argwhere(label != 1).tolist() == [[4, 5]] and label[4, 5] == 255


def test_nodata_of_a_coloured_mask_is_ignored(folder):
    table = ClassTable(("roof", "pool"), ((255, 0, 0), (0, 0, 255)))
    mask = np.array(table.palette, np.uint8)[np.arange(1600).reshape(40, 40) % 2]
    mask[4, 5] = 33
    _, label = folder(np.ones((40, 40, 3), "u1"), mask, classes=table, mask_options={"nodata": 33})
    expected = np.arange(1600).reshape(40, 40) % 2
    expected[4, 5] = 255
    np.testing.assert_array_equal(label, expected)


def test_masks_of_other_kinds_are_refused(folder):
    image = np.ones((40, 40, 3), np.uint8)
    with pytest.raises(ValueError, match=r"a.tif is float32: a mask needs integers"):
        folder(image, np.zeros((40, 40), np.float32))
    with pytest.raises(ValueError, match=r"a.tif has bands 1 gray, 2 undefined: a mask has one"):
        folder(image, np.zeros((40, 40, 2), np.uint8))
    with pytest.raises(ValueError, match=r"a.tif is a JPEG: its compression blurs"):
        folder(image, image, mask_options={"compress": "jpeg"})


def test_labels_are_checked_beyond_the_first_block(folder):
    table = ClassTable(("land",), ((9, 9, 9),))
    mask = np.full((8, BLOCK + 40, 3), 9, np.uint8)
    mask[6, BLOCK + 7] = 1
    with pytest.raises(ValueError, match=rf"\(1, 1, 1\) .*row 6, column {BLOCK + 7}\."):
        folder(np.ones_like(mask), mask, classes=table)


def test_coordinates_of_image_and_mask_must_agree(folder):
    image = np.ones((40, 40, 3), np.uint8)
    moved = from_origin(300_000.5, 2_800_000, 0.5, 0.5)
    with pytest.raises(
        ValueError, match=r"cover different areas: .*300000.0, 0.5.* and .*300000.5, 0.5"
    ):
        folder(image, mask_options={"transform": moved})
    with pytest.raises(ValueError, match=r"cover different areas"):
        folder(image, mask_options={"transform": from_origin(300_000, 2_800_000, 0.51, 0.5)})
    with pytest.raises(ValueError, match=r"is in EPSG:32640, its mask .* in EPSG:32639"):
        folder(image, mask_options={"crs": "EPSG:32639"})
    with pytest.raises(ValueError, match=r"is \(40, 40\), its mask .* is \(40, 30\)"):
        folder(image, np.zeros((30, 40), np.uint8))
    folder(image, mask_options={"transform": from_origin(300_000.001, 2_800_000, 0.5, 0.5)})
    folder(image, mask_options={"crs": None, "transform": None})
