"""Which pixels of a scene are within polygons of a file, against shapely's test of each centre."""

import numpy as np
import pyogrio
import pytest
import shapely
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin
from shapely import affinity
from shapely.geometry import box

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.places import Grid, PixelTransform
from keras_deeplab.data.files.reprojection import project_polygons
from keras_deeplab.prediction.raster import area as area_module
from keras_deeplab.prediction.raster.area import Area, OutsideAreaError
from keras_deeplab.prediction.raster.area_file import read_area
from keras_deeplab.prediction.raster.boxes import Box

UTM = CRS.from_epsg(32645)
SIZE = (900, 1300)


def star(x, y, radius, points=9, hole=0.3):
    angles = np.linspace(0, 2 * np.pi, 2 * points, endpoint=False)
    lengths = np.where(np.arange(2 * points) % 2, 0.4, 1.0)
    shell = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * lengths[:, None]
    place = radius * shell + (x, y)
    return shapely.Polygon(place, [hole * (place - (x, y)) + (x, y)])


def star_map(seed=0, count=40):
    """Stars of many sizes, some beyond the edges of the scene, one over many tiles."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-50, 1350, (count, 2)), rng.uniform(1, 60, count)
    stars = [star(*place, radius) for place, radius in zip(*places, strict=True)]
    return np.array([*stars, star(650, 450, 700, hole=0.5)], object)


def centres_within(polygons, size):
    """Pixels whose centre is in a polygon, and those whose centre is at a border."""
    columns, rows = np.meshgrid(np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5)
    union = shapely.union_all(polygons)
    shapely.prepare(union)
    border = shapely.buffer(shapely.boundary(union), 2 / area_module.STEPS)
    shapely.prepare(border)
    return shapely.contains_xy(union, columns, rows), shapely.contains_xy(border, columns, rows)


@pytest.fixture(scope="module")
def stars():
    return star_map()


def test_centres_of_pixels_decide(stars):
    area = Area(stars, SIZE)
    mask = area.inside(0, 0, SIZE)
    expected, border = centres_within(stars, SIZE)
    assert border.sum() < 200 and 0.2 < expected.mean() < 0.8
    np.testing.assert_array_equal(mask[~border], expected[~border])
    assert area.pixels == mask.sum()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert area.box == Box(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)


def test_parts_are_those_of_the_whole(stars):
    area, rng = Area(stars, SIZE), np.random.default_rng(1)
    mask = area.inside(0, 0, SIZE)
    again = Area(stars[::-1], SIZE)  # nothing is cached
    for _ in range(60):
        height, width = rng.integers(1, 200, 2)
        top, left = rng.integers(0, SIZE[0] - height), rng.integers(0, SIZE[1] - width)
        part = mask[top : top + height, left : left + width]
        np.testing.assert_array_equal(again.inside(top, left, (height, width)), part)
        box_ = Box(top + 0.3, top + height - 0.3, left + 0.3, left + width - 0.3)
        assert again.touches(box_) == part.any()
    assert again.sha256 == area.sha256


def test_the_hash_is_that_of_what_is_in_the_scene(stars):
    sha256 = Area(stars, SIZE).sha256
    outside = [*stars, box(2000, 0, 2100, 100)]
    assert Area(np.array(outside, object), SIZE).sha256 == sha256
    moved = stars.copy()
    moved[-1] = affinity.translate(moved[-1], 0.01)
    assert Area(moved, SIZE).sha256 != sha256
    assert Area(stars, (SIZE[0] - 100, SIZE[1])).sha256 != sha256


def test_memory_is_that_of_tiles(stars):
    """A scene of 100,000 x 100,000 pixels: only the tiles that are asked for are gone through."""
    polygons = np.array([affinity.scale(each, 77, 110, origin=(0, 0)) for each in stars], object)
    area = Area(polygons, (100_000, 100_000))
    assert area.box == Box(0, 100_000, 0, 100_000)
    column = area.inside(0, 40_000, (100_000, 1))[:, 0]
    centres = np.arange(100_000) + 0.5
    expected = shapely.contains_xy(shapely.union_all(polygons), 40_000.5, centres)
    assert (column != expected).sum() <= 2
    assert area._tile.cache_info().currsize < 250


def test_overlaps_holes_and_polygons_of_many_parts():
    two = shapely.MultiPolygon([box(0, 0, 10, 10), box(20, 0, 30, 10)])
    hole = box(5, 0, 25, 30) - box(8, 12, 20, 20)
    mask = Area(np.array([two, hole], object), (40, 50)).inside(0, 0, (40, 50))
    expected = np.zeros((40, 50), bool)
    expected[:10, :10] = expected[:10, 20:30] = expected[:30, 5:25] = True
    expected[12:20, 8:20] = False
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("polygon", [box(60, 0, 70, 10), box(10.6, 10, 11.4, 20)])
def test_no_pixel(polygon):
    """Outside of the scene, or between two columns of centres."""
    with pytest.raises(OutsideAreaError):
        Area(np.array([polygon], object), (40, 50))


def write(path, polygons, crs=UTM):
    polygons = np.asarray(polygons, object)
    pyogrio.raw.write(
        path, shapely.to_wkb(polygons), [], [], crs=crs.to_wkt(), geometry_type="Unknown"
    )
    return path


PLACE = from_origin(400_000, 3_050_000, 0.5, 0.5)
PLACES = {
    "north up": {"transform": PLACE},
    "south up": {"transform": Affine(0.5, 0, 400_000, 0, 0.5, 3_050_000)},
    "rotated": {"transform": Affine(0.4, 0.3, 400_000, 0.3, -0.4, 3_050_000)},
    "points": {
        "transform": Affine.identity(),
        "gcps": tuple(
            GroundControlPoint(row, column, 400_000 + column / 2, 3_050_000 - row / 2)
            for row, column in ((0, 0), (0, 1300), (900, 0), (900, 1300))
        ),
    },
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("suffix, crs", [("gpkg", UTM), ("geojson", CRS.from_epsg(4326))])
def test_files_of_any_crs(tmp_path, stars, place, suffix, crs):
    grid = Grid(*SIZE, crs=UTM, **PLACES[place])
    transform = PixelTransform(grid)
    on_ground = shapely.transform(stars, transform.coordinates, interleaved=False)
    path = write(tmp_path / f"stars.{suffix}", project_polygons(on_ground, UTM, crs, 1e-3), crs)
    found = read_area(path, grid, scene="scene.tif").inside(0, 0, SIZE)
    expected = Area(stars, SIZE).inside(0, 0, SIZE)
    assert (found != expected).sum() <= (20 if suffix == "gpkg" else 300)
    assert expected.sum() > 300_000


def test_long_edges_are_within_a_tenth_of_a_pixel(tmp_path):
    """A rectangle in degrees over a scene 200 km wide: its lower edge bends by many pixels."""
    grid = Grid(20_000, 20_000, from_origin(400_000, 3_200_000, 10, 10), UTM)
    path = write(tmp_path / "degrees.geojson", [box(86.1, 28.0, 87.9, 28.5)], CRS.from_epsg(4326))
    area = read_area(path, grid, scene="scene.tif")
    columns = np.array([2000, 5000, 9000, 15000])
    bottoms = [area.inside(0, column, (20_000, 1))[:, 0].nonzero()[0][-1] for column in columns]
    fine = shapely.segmentize(box(86.1, 28.0, 87.9, 28.5), 1e-3)
    (fine,) = project_polygons(np.array([fine]), "EPSG:4326", UTM, 1e9)
    for column, bottom in zip(columns, bottoms, strict=True):
        x = 400_000 + 10 * (column + 0.5)
        _, low, _, _ = shapely.intersection(fine, shapely.LineString([(x, 0), (x, 4e6)])).bounds
        assert bottom == pytest.approx((3_200_000 - low) / 10 - 1, abs=0.7)
    assert np.ptp(bottoms) > 20


def test_errors_name_file_and_scene(tmp_path):
    path = write(tmp_path / "far.gpkg", [box(0, 0, 10, 10)])
    grid = Grid(100, 200, PLACE, UTM)
    with pytest.raises(
        OutsideAreaError,
        match=r"far\.gpkg has no pixel of scene\.tif: in WGS 84 / UTM zone 45N the area is x 0 to "
        r"10, y 0 to 10, the scene x 400000 to 400100, y 3049950 to 3050000\.",
    ):
        read_area(path, grid, scene="scene.tif")
    for bare in (Grid(100, 200, PLACE, None), Grid(100, 200, Affine.identity(), UTM)):
        with pytest.raises(InputError, match=r"scene\.tif has no CRS or no transform"):
            read_area(path, bare, scene="scene.tif")


def test_a_file_is_read_again_when_it_changes(tmp_path):
    grid = Grid(100, 200, PLACE, UTM)
    path = write(tmp_path / "area.gpkg", [box(400_000, 3_049_990, 400_010, 3_050_000)])
    assert read_area(path, grid, scene="scene.tif").pixels == 400
    path.unlink()
    write(path, [box(400_000, 3_049_990, 400_020, 3_050_000)])
    assert read_area(path, grid, scene="scene.tif").pixels == 800
