"""GeoTIFFs: bands, value ranges, pixels without data, coordinates."""

import pathlib

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.images import ImageFormat, read_image
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


@pytest.mark.parametrize(
    ("count", "options", "found", "bands"),
    [
        (1, {}, "1 band: 1 gray.", (1, 1, 1)),
        (2, {}, "2 bands: 1 gray, 2 undefined.", (1, 2, 2)),
        (2, {"alpha": "yes"}, "1 band besides alpha: 1 gray, 2 alpha.", (1, 1, 1)),
        (4, {"photometric": "RGB"}, "3 blue, 4 undefined.", (4, 1, 2)),
    ],
)
def test_the_advice_names_bands_that_exist(folder, tmp_path, count, options, found, bands):
    scene = np.ones((40, 40, count), np.uint8)
    advice = f"for example bands={bands} or --bands {','.join(map(str, bands))}"
    with pytest.raises(ValueError) as caught:
        folder(scene, image_options=options)
    assert found in str(caught.value) and str(caught.value).endswith(advice)
    if bands == (1, 1, 1):  # one image for prediction need not say so
        assert read_image(tmp_path / "images/a.tif", ImageFormat())[0].shape == (40, 40, 3)
    else:
        with pytest.raises(ValueError, match="expected an 8-bit image with RGB") as caught:
            read_image(tmp_path / "images/a.tif", ImageFormat())
        assert str(caught.value).endswith(f" Choose three, {advice}.")
    assert folder(scene, image_options=options, bands=bands)[0].shape == (40, 40, 3)


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


def test_8_bits_are_not_read_with_a_range_of_more(folder, tmp_path):
    stored = np.full((40, 40, 3), 50, np.uint8)
    stored[0, 0] = 3, 7, 231
    for value_range in ((0, 4080), (-1, 255)):
        with pytest.raises(ValueError, match=r"8-bit im.*within 0\.\.255.*\n.*uint8, .* 3 to 231$"):
            folder(stored, value_range=value_range)
        for read_file in (read_image, lambda path, form: form.read(path)):
            with pytest.raises(ValueError, match=r"a.tif is uint8, its values 3 to 231: the value"):
                read_file(tmp_path / "images/a.tif", ImageFormat(value_range=value_range))
    image, _ = folder(stored, value_range=(0, 255))
    np.testing.assert_array_equal(image, stored)
    palette = Image.fromarray(stored).quantize(4)
    palette.save(tmp_path / "images/b.png")
    with pytest.raises(ValueError, match=r"b.png is uint8, its values 3 to 231"):
        read_image(tmp_path / "images/b.png", ImageFormat(value_range=(0, 4080)))


def test_types_that_differ_are_named(folder, tmp_path, caplog):
    for name, dtype in (("b", "uint16"), ("c", "uint16"), ("d", "float32")):
        write_raster(tmp_path / f"images/{name}.tif", np.full((40, 40, 3), 50, dtype))
        write_raster(tmp_path / f"masks/{name}.tif", np.zeros((40, 40), np.uint8))
    stored = np.full((40, 40, 3), 50, np.uint16)
    folder(stored, value_range=(0, 4080))
    (message,) = (record.getMessage() for record in caplog.records)
    images = tmp_path / "images"
    assert message.endswith(f":\n  1 of float32: {images}/d.tif\n  3 of uint16: {images}/a.tif")
    with pytest.raises(ValueError, match=r"8-bit images with .*:\n  .*a.tif is uint8, [^\n]*$"):
        folder(stored.astype(np.uint8), value_range=(0, 4080))
    caplog.clear()
    (images / "d.tif").unlink()
    (tmp_path / "masks/d.tif").unlink()
    folder(stored, value_range=(0, 4080))
    assert not caplog.records


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


def test_coordinates_that_agree_or_that_only_one_file_has(folder):
    """Others are in test_alignment.py."""
    image = np.ones((40, 40, 3), np.uint8)
    folder(image, mask_options={"transform": from_origin(300_000.001, 2_800_000, 0.5, 0.5)})
    folder(image, mask_options={"crs": None, "transform": None})
