"""Reading of scenes: what has data, mosaics, damaged files; compared with NumPy."""

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.transform import from_origin
from rasters import PLACE, damage_block, write_raster

from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.rasters import UnreadableFileError
from keras_deeplab.prediction.raster.boxes import Box
from keras_deeplab.prediction.raster.scene import open_scene

RGB = ImageFormat()
rng = np.random.default_rng(0)


def read_whole(scene):
    size = (scene.grid.height, scene.grid.width)
    image, valid = scene.read(Box(0, size[0], 0, size[1]), size)
    np.testing.assert_array_equal(scene.valid(0, 0, size), valid)
    np.testing.assert_array_equal(scene.valid(3, 5, (7, 9)), valid[3:10, 5:14])
    return image, valid


def picture(*shape):
    return rng.integers(1, 255, shape).astype("uint8")


def test_data_by_tag_and_by_option(tmp_path):
    """A pixel has no data where all bands that are read have the value."""
    image = picture(40, 50, 4)
    image[:10] = 0
    image[5:20, :, 1] = 0
    image[30:, 20:, :3] = 255
    image[20:, :20, 0] = 255
    write_raster(tmp_path / "a.tif", image, nodata=0, photometric="minisblack")
    form = ImageFormat((1, 2, 3))
    with open_scene([tmp_path / "a.tif"], form, nodata=255) as scene:
        found, valid = read_whole(scene)
    read = image[..., :3]
    expected = (read != 0).any(-1) & (read != 255).any(-1)
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_array_equal(found, np.where(expected[..., None], read, 0))
    with open_scene([tmp_path / "a.tif"], ImageFormat((4, 2, 1))) as scene:
        found, valid = read_whole(scene)
    np.testing.assert_array_equal(valid, (image[..., [3, 1, 0]] != 0).any(-1))
    np.testing.assert_array_equal(found, image[..., [3, 1, 0]])


def test_nodata_of_a_palette_is_the_stored_index(tmp_path):
    indices = rng.integers(0, 4, (30, 30)).astype("uint8")
    write_raster(tmp_path / "p.tif", indices, photometric="palette")
    with rasterio.open(tmp_path / "p.tif", "r+") as raster:
        raster.write_colormap(1, {0: (3, 3, 3, 255), 1: (9, 8, 7, 255), 3: (1, 1, 1, 255)})
    with open_scene([tmp_path / "p.tif"], RGB, nodata=3) as scene:
        found, valid = read_whole(scene)
    np.testing.assert_array_equal(valid, indices != 3)
    assert (found[indices == 1] == (9, 8, 7)).all() and (found[indices == 0] == 3).all()


def test_nan_in_any_band_is_no_data(tmp_path):
    image = rng.uniform(0, 1000, (30, 40, 3)).astype("float32")
    image[:4, :, 2] = np.nan
    image[10:12] = -9999
    write_raster(tmp_path / "f.tif", image, nodata=-9999)
    with open_scene([tmp_path / "f.tif"], ImageFormat(None, (0, 1000))) as scene:
        found, valid = read_whole(scene)
    expected = np.isfinite(image).all(-1) & (image != -9999).any(-1)
    np.testing.assert_array_equal(valid, expected)
    np.testing.assert_allclose(found[expected], image[expected] * 0.255, rtol=1e-5)


def test_a_mask_and_an_alpha_band(tmp_path):
    image, known = picture(30, 40, 3), rng.random((30, 40)) < 0.7
    write_raster(tmp_path / "m.tif", image)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(tmp_path / "m.tif", "r+") as raster,
    ):
        raster.write_mask(known)
    alpha = np.dstack([image, known * 255]).astype("uint8")
    write_raster(tmp_path / "a.tif", alpha, photometric="rgb", alpha="yes")
    for name in ("m.tif", "a.tif"):
        with open_scene([tmp_path / name], RGB) as scene:
            found, valid = read_whole(scene)
        np.testing.assert_array_equal(valid, known)
        np.testing.assert_array_equal(found, image * known[..., None])


def test_one_grey_band_is_read_as_three(tmp_path, caplog):
    grey = picture(20, 20)
    write_raster(tmp_path / "grey.tif", grey)
    with open_scene([tmp_path / "grey.tif"], RGB) as scene:
        found, _ = read_whole(scene)
    np.testing.assert_array_equal(found, np.dstack([grey] * 3))
    assert len(caplog.records) == 1 and "one band" in caplog.text


def placed(path, image, column, row, **options):
    """Writes a raster whose first pixel is at a column and a row of the grid of the tests."""
    transform = from_origin(300_000 + column / 2, 2_800_000 - row / 2, 0.5, 0.5)
    write_raster(path, image, **{"transform": transform, **options})
    return path


def test_a_mosaic_is_pasted_and_the_first_raster_with_data_counts(tmp_path):
    boxes = {"b": (60, 40, 50, 70), "a": (0, 0, 64, 64), "c": (30, 90, 20, 20)}  # row, column, size
    image, valid = np.zeros((110, 110, 3), "uint8"), np.zeros((110, 110), bool)
    paths = []
    for name, (row, column, height, width) in boxes.items():
        part = picture(height, width, 3)
        part[10:18, :30] = 0
        paths.append(placed(tmp_path / f"{name}.tif", part, column, row, nodata=0))
        target = np.s_[row : row + height, column : column + width]
        new = (part != 0).any(-1) & ~valid[target]
        image[target][new] = part[new]
        valid[target] |= new
    with open_scene(paths, RGB) as scene:
        assert scene.grid.transform == PLACE["transform"] and scene.grid.crs == PLACE["crs"]
        found, known = read_whole(scene)
        assert scene.files == {path.resolve() for path in paths}
    np.testing.assert_array_equal(known, valid)
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(
    "options",
    [
        {"crs": "EPSG:32639"},
        {"transform": from_origin(300_000, 2_800_000, 0.25, 0.25)},
        {"transform": from_origin(300_000.1, 2_800_000, 0.5, 0.5)},  # a fifth of a pixel
        {"transform": from_origin(300_000, 2_800_000, 0.5, -0.5)},
        {"transform": Affine(0, 0.5, 300_000, 0.5, 0, 2_800_000)},
        {"crs": None},
    ],
)
def test_other_grids_are_refused_with_the_way_out(tmp_path, options):
    paths = [placed(tmp_path / "a.tif", picture(32, 32, 3), 0, 0)]
    paths.append(placed(tmp_path / "b.tif", picture(32, 32, 3), 32, 0, **options))
    with pytest.raises(ValueError) as error, open_scene(paths, RGB):
        pass
    message = str(error.value)
    assert "a.tif" in message and "b.tif" in message
    assert "gdalbuildvrt" in message and "gdalwarp" in message and "\n" not in message


def test_pixel_sizes_in_degrees_are_compared_exactly(tmp_path):
    """Half a percent of a pixel of 30 cm is below 1e-8 degrees."""
    place = {"crs": "EPSG:4326", "transform": from_origin(10, 50, 2e-6, 2e-6)}
    write_raster(tmp_path / "a.tif", picture(64, 64, 3), **place)
    other = {**place, "transform": from_origin(10 + 64 * 2e-6, 50, 2.01e-6, 2.01e-6)}
    write_raster(tmp_path / "b.tif", picture(64, 64, 3), **other)
    with pytest.raises(ValueError, match="not of one grid"):
        open_scene([tmp_path / "a.tif", tmp_path / "b.tif"], RGB).__enter__()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_rasters_without_a_place_are_not_put_on_each_other(tmp_path):
    for name in "ab":
        write_raster(tmp_path / f"{name}.tif", picture(32, 32, 3), crs=None, transform=None)
    with pytest.raises(ValueError, match=r"no geotransform.*--output a folder"):
        open_scene([tmp_path / "a.tif", tmp_path / "b.tif"], RGB).__enter__()


def test_ground_control_points_are_the_grid(tmp_path):
    points = [
        GroundControlPoint(row, column, 300_000 + column, 2_800_000 - row)
        for row, column in ((0, 0), (0, 80), (64, 0))
    ]
    write_raster(tmp_path / "g.tif", picture(64, 80, 3), transform=None, gcps=points)
    with open_scene([tmp_path / "g.tif"], RGB) as scene:
        assert scene.grid.crs == PLACE["crs"] and scene.grid.georeferenced
        assert [(point.row, point.x) for point in scene.grid.gcps] == [
            (point.row, point.x) for point in points
        ]


@pytest.mark.parametrize(
    "image, form, words",
    [
        (picture(8, 8, 4), RGB, "4 bands"),
        (picture(8, 8, 2), RGB, "2 bands"),
        (picture(8, 8, 3), ImageFormat((1, 2, 4)), "no band 4"),
        (picture(8, 8, 3).astype("uint16"), RGB, r"uint16: give .* --value-range 0 4095"),
        (picture(8, 8, 3), ImageFormat(None, (0, 4095)), "8-bit"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(tmp_path, image, form, words):
    write_raster(tmp_path / "scene.tif", image, photometric="minisblack")
    with pytest.raises(ValueError, match=rf"(?s)\A[^\n]*scene.tif[^\n]*{words}[^\n]*\Z"):
        open_scene([tmp_path / "scene.tif"], form).__enter__()


def test_missing_files(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"nowhere\.tif"):
        open_scene([tmp_path / "nowhere.tif"], RGB).__enter__()
    with pytest.raises(ValueError, match="No raster"):
        open_scene([], RGB).__enter__()


@pytest.fixture
def damaged(tmp_path):
    """A file of 3 x 3 blocks of 128 pixels, that in the middle damaged; and its pixels."""
    image = np.random.default_rng(1).integers(1, 9, (384, 384, 3)).astype("uint8")
    path = tmp_path / "damaged.tif"
    tiles = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    write_raster(path, image, interleave="pixel", **tiles)
    damage_block(path, 1, 1)
    return path, image


def test_a_damaged_block_stops_with_its_place(damaged):
    path, _ = damaged
    with open_scene([path], RGB) as scene:
        for _ in range(2):  # an error is not left over for the next good part
            with pytest.raises(
                UnreadableFileError, match=r"damaged\.tif: .* row 100, column 90.*--on-bad-block"
            ):
                scene.read(Box(100, 250, 90, 240), (150, 150))
            scene.read(Box(0, 100, 0, 300), (100, 300))


def test_a_damaged_block_is_left_out_and_counted(damaged):
    path, image = damaged
    with open_scene([path], RGB, skip_bad=True) as scene:
        found, valid = scene.read(Box(0, 384, 0, 384), (384, 384))
        bad = ~valid
        assert bad[128:256, 128:256].all() and bad.sum() == 128**2
        np.testing.assert_array_equal(found[valid], image[valid])
        assert scene.bad_pixels == 0
        valid = np.concatenate([scene.valid(row, 0, (64, 384)) for row in range(0, 384, 64)])
        assert scene.bad_pixels == (~valid).sum() and not valid[128:256, 128:256].any()


@pytest.mark.parametrize("size", [(96, 96), (500, 500)])
def test_a_damaged_block_of_a_resampled_part(damaged, size):
    path, _ = damaged
    with open_scene([path], RGB, skip_bad=True) as scene:
        _, valid = scene.read(Box(0.5, 383.5, 0.5, 383.5), size)
    middle = tuple(slice(side * 4 // 10, side * 6 // 10) for side in size)
    assert not valid[middle].any() and valid[0].all() and valid[:, -1].all()
