"""Resolution and areas on the ground, against pyproj used in other ways."""

import numpy as np
import pyproj
import pytest
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin, xy

from keras_deeplab.data.files.places import Grid, places_of
from keras_deeplab.prediction.raster.class_areas import ClassAreas

GEOD = pyproj.Geod(ellps="WGS84")
FOOT = 1200 / 3937  # US survey foot in metres
NORTH_60 = 8_399_737.9  # of EPSG:3857


def grid(epsg, transform, height=600, width=800):
    return Grid(height, width, transform, epsg and CRS.from_epsg(epsg))


def centre_lengths(a_grid):
    """Width and height in metres of the pixel at the centre, by distances."""
    to_degrees = pyproj.Transformer.from_crs(a_grid.crs.to_wkt(), "EPSG:4326", always_xy=True)
    row, column = a_grid.height / 2, a_grid.width / 2

    def distance(*ends):
        places = (xy(a_grid.transform, r, c, offset="ul") for c, r in ends)
        (x0, y0), (x1, y1) = (to_degrees.transform(*place) for place in places)
        return GEOD.inv(x0, y0, x1, y1)[2]

    return (
        distance((column - 0.5, row), (column + 0.5, row)),
        distance((column, row - 0.5), (column, row + 0.5)),
    )


@pytest.mark.parametrize(
    "epsg, transform, about",
    [
        (3857, from_origin(1_000_000, NORTH_60, 0.6, 0.6), 0.3),  # half the map's units
        (4326, from_origin(10, 60, 1e-5, 1e-5), 0.787),  # a degree of longitude is half as long
        (2263, from_origin(980_000, 200_000, 2, 2), 2 * FOOT),
        (32640, from_origin(300_000, 2_800_000, 0.5, 0.25), 0.125**0.5),
        (32640, from_origin(300_000, 2_800_000, 0.5, -0.5), 0.5),  # south-up
        (32640, Affine(0.3, 0.4, 300_000, 0.4, -0.3, 2_800_000), 0.5),  # rotated
    ],
)
def test_resolution_of_the_centre_pixel(epsg, transform, about):
    a_grid = grid(epsg, transform)
    found = places_of(a_grid).resolution_m
    assert found == pytest.approx(np.prod(centre_lengths(a_grid)) ** 0.5, rel=1e-4)
    assert found == pytest.approx(about, rel=4e-3)


def test_resolution_of_ground_control_points():
    points = [
        GroundControlPoint(row, column, 300_000 + column / 2, 2_800_000 - row / 2)
        for row in (0, 600)
        for column in (0, 800)
    ]
    of_points = Grid(600, 800, Affine.identity(), CRS.from_epsg(32640), tuple(points))
    of_transform = grid(32640, from_origin(300_000, 2_800_000, 0.5, 0.5))
    assert places_of(of_points).resolution_m == pytest.approx(
        places_of(of_transform).resolution_m, rel=1e-6
    )


def areas(a_grid, labels=None):
    """Hectares of three classes of a scene, added up in parts as they are predicted."""
    found = ClassAreas(3, places_of(a_grid))
    if labels is None:
        labels = np.zeros((a_grid.height, a_grid.width), np.uint8)
    for top in range(0, a_grid.height, 64):
        for left in range(0, a_grid.width, 512):
            found.add(labels[top : top + 64, left : left + 512], top, left)
    return found.record(("a", "b", "c"))


def test_areas_of_web_mercator_at_60_degrees_are_a_quarter():
    labels = np.random.default_rng(0).choice([0, 1, 2, 255], (600, 800)).astype(np.uint8)
    rows = areas(grid(3857, from_origin(1_000_000, NORTH_60, 1, 1)), labels)
    for index, row in enumerate(rows):
        pixels = (labels == index).sum()
        assert row["pixels"] == pixels
        assert row["hectares"] == pytest.approx(pixels / 4 / 10_000, rel=5e-3)
        assert row["share"] == pixels / (labels < 3).sum()


@pytest.mark.parametrize("pixel", [1e-5, 1e-3, 1e-2])
def test_areas_in_degrees(pixel):
    """Against the polygon of the whole scene, its parallels cut into short pieces."""
    a_grid = grid(4326, from_origin(10, 50, pixel, pixel))
    x = np.linspace(10, 10 + 800 * pixel, 2000)
    south, north = np.full(2000, 50 - 600 * pixel), np.full(2000, 50)
    area, _ = GEOD.polygon_area_perimeter([*x, *x[::-1]], [*south, *north])
    assert areas(a_grid)[0]["hectares"] == pytest.approx(abs(area) / 10_000, rel=1e-3)


def test_areas_of_a_rotated_scene_in_feet():
    a_grid = grid(2263, Affine(1.2, 1.6, 980_000, 1.6, -1.2, 200_000))
    pixels = a_grid.height * a_grid.width
    assert areas(a_grid)[0]["hectares"] == pytest.approx(pixels * 4 * FOOT**2 / 1e4, rel=1e-3)


@pytest.mark.parametrize(
    "crs, transform",
    [
        (None, from_origin(300_000, 2_800_000, 0.5, 0.5)),
        (CRS.from_epsg(32640), Affine.identity()),
        (CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]'), from_origin(0, 0, 1, 1)),
        (CRS.from_epsg(3857), from_origin(1e12, 1e12, 1, 1)),  # outside the system
    ],
)
def test_unknown_places_have_no_areas(crs, transform):
    a_grid = Grid(600, 800, transform, crs)
    rows = areas(a_grid)
    assert [row["hectares"] for row in rows] == [None, None, None]
    assert rows[0]["pixels"] == 480_000


def test_no_valid_pixel():
    a_grid = grid(32640, from_origin(300_000, 2_800_000, 0.5, 0.5), 10, 10)
    rows = areas(a_grid, np.full((10, 10), 255, np.uint8))
    assert [(row["pixels"], row["share"], row["hectares"]) for row in rows] == [(0, 0, 0)] * 3
