"""Masks on another grid than their image: warped as pyproj says, never silently misaligned."""

import logging

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import Affine, from_origin
from rasterio.windows import Window
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.alignment import mask_grid
from keras_deeplab.data.files.masks import read_mask
from keras_deeplab.data.files.places import Grid

IMAGE = {"crs": "EPSG:32640", "transform": from_origin(300_000, 2_800_000, 0.5, 0.5)}
SHAPE = (60, 80)
CLASSES = ClassTable(("a", "b", "c"))
MASKS = {  # coordinate system and geotransform of a mask of 70 x 90 pixels
    "coarser, shifted": ("EPSG:32640", Affine(0.7, 0, 299_990, 0, -0.7, 2_799_990)),
    "finer, part of it": ("EPSG:32640", Affine(0.23, 0, 300_010.1, 0, -0.23, 2_799_995.2)),
    "rotated": ("EPSG:32640", Affine(0.5, 0.1, 299_995, 0.1, -0.5, 2_800_001)),
    "Mercator": ("EPSG:3857", Affine(0.6, 0, 6_123_225.3, 0, -0.6, 2_910_860.4)),
    "degrees": ("EPSG:4326", Affine(5e-6, 0, 55.0059, 0, -5e-6, 25.3023)),
    "the next zone": ("EPSG:32639", Affine(0.5, 0, 904_420, 0, -0.5, 2_804_930)),
}


def centre_of(crs, transform, shape=(70, 90)):
    """The geotransform, moved so that the centres of mask and image are nearly the same."""
    to = pyproj.Transformer.from_crs(IMAGE["crs"], crs, always_xy=True)
    x, y = to.transform(*(IMAGE["transform"] @ (SHAPE[1] / 2, SHAPE[0] / 2)))
    old_x, old_y = transform @ (shape[1] / 2 + 0.13, shape[0] / 2 - 0.21)
    return Affine.translation(x - old_x, y - old_y) @ transform


def expected(values, crs, transform, valid=None, image=IMAGE["transform"]):
    """Labels by the place of each pixel centre of the image; -1 where rounding decides."""
    rows, columns = np.indices(SHAPE) + 0.5
    x, y = image @ (columns, rows)
    to = pyproj.Transformer.from_crs(IMAGE["crs"], crs, always_xy=True)
    columns, rows = ~transform @ to.transform(x, y)
    unsure = np.minimum(np.abs(rows - rows.round()), np.abs(columns - columns.round())) < 1e-3
    rows, columns = np.floor(rows).astype(int), np.floor(columns).astype(int)
    height, width = values.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    if valid is not None:
        inside &= valid[rows, columns]
    return np.where(unsure, -1, np.where(inside, values[rows, columns].astype(int), 255))


def check(label, wanted):
    assert (wanted >= 0).mean() > 0.9
    np.testing.assert_array_equal(label[wanted >= 0], wanted[wanted >= 0])


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "images/a.tif"
    write_raster(path, np.full((*SHAPE, 3), 9, np.uint8), **IMAGE)
    return path


def grid_for(image, mask):
    with rasterio.open(image) as first, rasterio.open(mask) as second:
        problem, grid = mask_grid(first, second)
    assert problem is None
    return grid


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_is_warped_to_the_pixels_of_its_image(image, tmp_path, name, caplog):
    crs, transform = MASKS[name]
    transform = centre_of(crs, transform)
    values = np.random.default_rng(0).integers(0, 3, (70, 90)).astype(np.uint8)
    write_raster(tmp_path / "masks/a.tif", values, crs=crs, transform=transform)
    with caplog.at_level(logging.WARNING):
        dataset = kd.data.from_folder(image.parent, tmp_path / "masks", CLASSES)
    assert f"masks/a.tif ((90, 70) pixels in {crs}, " in caplog.text
    (found,) = dataset.as_numpy_iterator()
    wanted = expected(values, crs, transform)
    check(found[1], wanted)
    window = Window(11, 7, 40, 30)
    part = read_mask(
        tmp_path / "masks/a.tif", CLASSES, window, grid=grid_for(image, tmp_path / "masks/a.tif")
    )
    np.testing.assert_array_equal(part, found[1][7:37, 11:51])
    if name == "finer, part of it":
        assert (found[1] == 255).mean() > 0.2


def test_each_pixel_has_its_own_place(tmp_path):
    """Over 400 km, where a mesh of places between which is interpolated would be off."""
    image = from_origin(300_000, 2_800_000, 5000, 5000)
    transform = Affine(0.001, 0, 54.9, 0, -0.001, 25.4)
    values = np.random.default_rng(0).integers(0, 3, (3200, 4400)).astype(np.uint8)
    write_raster(tmp_path / "a.tif", values, crs="EPSG:4326", transform=transform)
    grid = Grid(*SHAPE, image, rasterio.crs.CRS.from_string(IMAGE["crs"]))
    label = read_mask(tmp_path / "a.tif", CLASSES, grid=grid)
    check(label, expected(values, "EPSG:4326", transform, image=image))


@pytest.mark.parametrize(
    "kind", ["nodata", "alpha", "internal mask", "palette", "colours", "greys"]
)
def test_what_a_warped_mask_ignores_stays_ignored(image, tmp_path, kind):
    """A nodata value, an alpha band, an internal mask; colours and palettes are not mixed."""
    crs, transform = "EPSG:3857", centre_of(*MASKS["Mercator"])
    values = np.random.default_rng(1).integers(0, 3, (70, 90)).astype(np.uint8)
    valid = np.random.default_rng(2).random(values.shape) > 0.3
    palette = ((0, 0, 0), (200, 10, 10), (255, 255, 255))
    classes, path, place = CLASSES, tmp_path / "mask.tif", {"crs": crs, "transform": transform}
    if kind == "nodata":
        write_raster(path, np.where(valid, values, 77).astype(np.uint8), nodata=77, **place)
    elif kind == "alpha":
        write_raster(path, np.dstack([values, valid * np.uint8(255)]), **place)
        with rasterio.open(path, "r+") as raster:
            raster.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    elif kind == "internal mask":
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            write_raster(path, values, **place)
            with rasterio.open(path, "r+") as raster:
                raster.write_mask(valid)
    else:
        valid = None
        classes = ClassTable(CLASSES.names, palette)
        stored = values if kind == "palette" else np.array(palette, np.uint8)[values]
        if kind == "greys":
            classes = ClassTable(("a", "b", "c"), ((9, 9, 9), (90, 90, 90), (0, 0, 0)))
            stored = np.array([9, 90, 0], np.uint8)[values]
        write_raster(path, stored, **place)
        if kind == "palette":
            with rasterio.open(path, "r+") as raster:
                raster.write_colormap(1, dict(enumerate(palette)))
    label = read_mask(path, classes, grid=grid_for(image, path))
    check(label, expected(values, crs, transform, valid))


def test_masks_that_reach_nothing_are_an_error(image, tmp_path):
    def load(shape=SHAPE, **place):
        write_raster(tmp_path / "masks/a.tif", np.zeros(shape, np.uint8), **{**IMAGE, **place})
        return kd.data.from_folder(image.parent, tmp_path / "masks", ["a", "b"])

    beside = from_origin(300_040, 2_800_000, 0.5, 0.5)
    with pytest.raises(ValueError, match=r"cover different areas: .*300000.0.* and .*300040.0"):
        load(transform=beside)
    with pytest.raises(ValueError, match=r"a.tif and its mask .*a.tif cover different areas"):
        load(crs="EPSG:32639")
    for lost in ({"crs": None}, {"transform": None}, {"crs": None, "transform": None}):
        with pytest.raises(ValueError, match=r"is \(80, 60\), its mask .* is \(80, 30\)"):
            load((30, 80), **lost)
    with pytest.raises(ValueError, match="cover different areas: geotransforms"):
        load(crs=None, transform=beside)


def test_a_mask_on_the_grid_of_its_image_is_read_as_it_is(image, tmp_path, caplog):
    path = tmp_path / "masks/a.tif"
    for place in ({"transform": from_origin(300_000.001, 2_800_000, 0.5, 0.5)}, {"crs": None}):
        write_raster(path, np.zeros(SHAPE, np.uint8), **{**IMAGE, **place})
        assert grid_for(image, path) is None
