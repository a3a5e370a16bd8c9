"""Maps of an area of interest: only its pixels, and those of the map of the whole scene."""

import collections
import dataclasses
import re

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasters import PLACE, damage_block, write_raster
from resumable import finish_run, stopped_run, write_model, write_scene
from scipy.ndimage import uniform_filter
from shapely.geometry import box
from toy import toy_labels, toy_predictor

import keras_deeplab as kd
from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.places import Grid, PixelTransform
from keras_deeplab.prediction.raster import bands as bands_module
from keras_deeplab.prediction.raster import scores as scores_module
from keras_deeplab.prediction.raster.area import Area
from keras_deeplab.prediction.raster.bands import plan_bands
from keras_deeplab.prediction.raster.boxes import Part
from keras_deeplab.prediction.raster.scene import open_scene
from keras_deeplab.prediction.raster.scores import plan_windows, scene_scores

SIZE = (700, 900)
# In pixels: a triangle, a square with a hole, and something small far away from both.
SHAPES = [
    shapely.Polygon([(130, 110), (390.2, 170.7), (180, 340)]),
    box(300, 300, 420, 380) - box(330, 320, 350, 360),
    box(810.2, 560.1, 818.9, 565.4),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A scene of noise, and the area in longitude and latitude."""
    path = tmp_path_factory.mktemp("area")
    image = np.random.default_rng(0).integers(1, 255, (*SIZE, 3)).astype("uint8")
    write_raster(path / "scene.tif", image, tiled=True, blockxsize=128, blockysize=128)
    write_area(path / "area.gpkg")
    return path


def write_area(path, **place):
    with_crs = {"gcps": (), **PLACE, **place}
    grid = Grid(*SIZE, **{**with_crs, "crs": rasterio.crs.CRS.from_string(with_crs["crs"])})
    polygons = shapely.transform(SHAPES, PixelTransform(grid).coordinates, interleaved=False)
    pyogrio.raw.write(
        path, shapely.to_wkb(polygons), [], [], crs=PLACE["crs"], geometry_type="Polygon"
    )
    return path


@pytest.fixture(scope="module")
def inside():
    """The pixels of the area."""
    columns, rows = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5)
    return shapely.contains_xy(shapely.union_all(SHAPES), columns, rows)


def blurred(images):
    """Logits that depend on the surroundings of a pixel and on the border of the window."""
    return uniform_filter(images, (0, 15, 15, 0), mode="constant")


Written = collections.namedtuple("Written", "transform gcps tags")


def predict(folder, name, *, scene="scene.tif", predictor=None, **options):
    """Pixels, place and tags of the map, and result, of a scene in windows of 64 pixels."""
    options = {"resolution": "native", "window": 64, "overlap": 16, **options}
    predictor = predictor or toy_predictor(blurred)
    result = kd.predict_raster(predictor, folder / scene, folder / name, progress=False, **options)
    with rasterio.open(folder / name) as written:
        return written.read(), Written(written.transform, written.gcps[0], written.tags()), result


@pytest.mark.parametrize("resolution", ["native", 0.3, 1.2])
def test_pixels_are_those_of_the_whole_map(folder, tmp_path, inside, resolution, monkeypatch):
    """Also in a scene of several parts, which begin elsewhere in the cropped map."""
    monkeypatch.setattr(scores_module, "MEMORY", 2e5)
    options = {"resolution": resolution, "confidence": tmp_path / "confidence.tif"}
    ((whole,), _, _) = predict(folder, "whole.tif", **options)
    with rasterio.open(tmp_path / "confidence.tif") as written:
        whole_confidence = written.read(1)
    for crop in (False, True):
        ((labels,), written, result) = predict(
            folder, "part.tif", aoi=folder / "area.gpkg", crop_to_aoi=crop, **options
        )
        part = np.s_[110:565, 130:819] if crop else np.s_[:, :]
        assert labels.shape == whole[part].shape == (result["height"], result["width"])
        np.testing.assert_array_equal(labels, np.where(inside, whole, 255)[part])
        with rasterio.open(tmp_path / "confidence.tif") as confidence:
            expected = np.where(inside, whole_confidence, 255)[part]
            np.testing.assert_array_equal(confidence.read(1), expected)
        x, y = (130, 110) if crop else (0, 0)
        assert written.transform == Affine(0.5, 0, 300_000 + x / 2, 0, -0.5, 2_800_000 - y / 2)
        assert (result["nodata_pixels"], result["outside_pixels"]) == (0, (labels == 255).sum())
        assert [row["pixels"] for row in result["classes"]] == [
            (labels == index).sum() for index in range(3)
        ]
        hectares = sum(row["hectares"] for row in result["classes"])
        assert hectares == pytest.approx(inside.sum() * 0.25 / 1e4, rel=2e-3)
        assert written.tags["KERAS_DEEPLAB_AREA"] == "area.gpkg"


def test_nothing_else_is_read_or_predicted(folder, tmp_path, inside):
    """Blocks without pixels of the area may be damaged."""
    shown = []
    predictor = toy_predictor(lambda images: shown.append(1) or images)
    with rasterio.open(folder / "scene.tif") as scene:
        image = np.moveaxis(scene.read(), 0, -1)
    options = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}
    write_raster(tmp_path / "scene.tif", image, nodata=0, **options)  # it is looked where data is
    touched = set()
    for row, column in np.argwhere(inside):  # windows of 64 pixels reach 60 pixels beyond
        for away in (-60, 60):
            touched.add((np.clip(row + away, 0, 699) // 128, np.clip(column + away, 0, 899) // 128))
    blocks = {(row, column) for row in range(6) for column in range(8)} - touched
    assert len(blocks) > 15
    for row, column in blocks:
        damage_block(tmp_path / "scene.tif", column, row)
    ((labels,), _, result) = predict(
        tmp_path, "map.tif", predictor=predictor, aoi=folder / "area.gpkg"
    )
    np.testing.assert_array_equal(labels, toy_labels(image, inside))
    assert result["bad_pixels"] == 0
    assert len(shown) < 60  # of 15 x 19 windows


@pytest.mark.parametrize("scale", [0.6, 1.0, 3.7])
def test_a_pixel_has_the_scores_of_all_its_windows(folder, scale):
    """Columns as the last of an area: also the one before those that another window begins with."""
    with open_scene([folder / "scene.tif"], ImageFormat()) as scene:
        scene.grid = dataclasses.replace(scene.grid, height=40, width=250)
        plan = plan_windows(40, 250, scale=scale, window=32, overlap=16, classes=3)

        def scores():
            found = scene_scores(scene, lambda image: blurred(image[None])[0], plan, (0, 250))
            return np.concatenate([rows for _, rows in found])

        whole = scores()
        for column in range(int(16 * scale), int(32 * scale)):  # where two windows overlap
            scene.area = Area(np.array([box(0, 0, column + 1, 40)], object), (40, 250))
            np.testing.assert_array_equal(scores()[:, : column + 1], whole[:, : column + 1])


def test_pixels_without_data_are_counted_inside_only(folder, tmp_path, inside):
    with rasterio.open(folder / "scene.tif") as scene:
        image = np.moveaxis(scene.read(), 0, -1)
    image[:200] = 0
    write_raster(tmp_path / "scene.tif", image, nodata=0)
    ((labels,), _, result) = predict(
        tmp_path, "map.tif", predictor=toy_predictor(), aoi=folder / "area.gpkg"
    )
    valid = inside & (np.arange(SIZE[0]) >= 200)[:, np.newaxis]
    np.testing.assert_array_equal(labels, toy_labels(image, valid))
    assert result["nodata_pixels"] == (inside & ~valid).sum()
    assert result["outside_pixels"] == (~inside).sum()


def test_damage_counts_inside_only_and_is_not_met_between(tmp_path):
    """Two squares in the same rows, one with a damaged block, another block between them."""
    image = np.random.default_rng(0).integers(1, 255, (192, 2_048, 3)).astype("uint8")
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    write_raster(tmp_path / "scene.tif", image, nodata=0, **options)
    for column in (1, 15):
        damage_block(tmp_path / "scene.tif", column, 1)
    squares = [box(10, 10, 100, 100), box(1_800, 30, 1_850, 150)]  # in pixels
    away = [box(800, 70, 820, 80), squares[1]]
    for name, shapes in (("both.gpkg", squares), ("away.gpkg", away)):
        shapes = shapely.transform(shapes, lambda xy: xy * (0.5, -0.5) + (300_000, 2_800_000))
        pyogrio.raw.write(
            *(tmp_path / name, shapely.to_wkb(shapes), [], []),
            crs=PLACE["crs"],
            geometry_type="Polygon",
        )
    predictor = toy_predictor()
    ((labels,), _, result) = predict(
        *(tmp_path, "map.tif"),
        predictor=predictor,
        aoi=tmp_path / "both.gpkg",
        on_bad_block="nodata",
    )
    assert result["bad_pixels"] == result["nodata_pixels"] == 36 * 36
    assert (labels != 255).sum() == 90 * 90 + 50 * 120 - 36 * 36
    _, _, result = predict(tmp_path, "map.tif", predictor=predictor, aoi=tmp_path / "away.gpkg")
    assert result["bad_pixels"] == result["nodata_pixels"] == 0


@pytest.mark.parametrize("crop", [False, True])
def test_ground_control_points_and_rotation(folder, tmp_path, inside, crop):
    points = [
        GroundControlPoint(row, column, 300_000 + column / 2, 2_800_000 - row / 2)
        for row, column in ((0, 0), (0, 900), (700, 0), (700, 900))
    ]
    with rasterio.open(folder / "scene.tif") as scene:
        image = np.moveaxis(scene.read(), 0, -1)
    part = np.s_[110:565, 130:819] if crop else np.s_[:, :]
    expected = toy_labels(image, inside)[part]
    options = {"predictor": toy_predictor(), "crop_to_aoi": crop}
    write_raster(tmp_path / "scene.tif", image, transform=None, gcps=points)
    ((labels,), written, _) = predict(tmp_path, "map.tif", aoi=folder / "area.gpkg", **options)
    assert (labels != expected).mean() < 1e-4
    x, y = (130, 110) if crop else (0, 0)
    assert [(p.row + y, p.col + x, p.x, p.y) for p in written.gcps] == [
        (p.row, p.col, p.x, p.y) for p in points
    ]
    rotated = {"transform": Affine(0.3, 0.4, 300_000, 0.4, -0.3, 2_800_000)}
    write_raster(tmp_path / "scene.tif", image, **rotated)
    area = write_area(tmp_path / "area.gpkg", **rotated)
    ((labels,), written, _) = predict(tmp_path, "map.tif", aoi=area, **options)
    assert (labels != expected).mean() < 1e-4
    corner = (300_000 + 0.3 * x + 0.4 * y, 2_800_000 + 0.4 * x - 0.3 * y)
    assert (written.transform.c, written.transform.f) == pytest.approx(corner)


class Killed(Exception):
    pass


class Windows:
    """A model with known weights that counts its windows, and fails after some of them."""

    def __init__(self, limit=None):
        self.count, self.limit = 0, limit
        self.predictor = toy_predictor(self)
        self.predictor.weights_sha256 = lambda: "0" * 64

    def __call__(self, images):
        self.count += 1
        if self.count == self.limit:
            raise Killed
        return blurred(images)


@pytest.mark.parametrize("crop", [False, True])
def test_an_interrupted_run_is_continued(folder, tmp_path, crop, monkeypatch, caplog):
    """Under the same area only; another file with the same polygons is the same area."""
    monkeypatch.setattr(bands_module, "ROWS", 64)
    name, options = f"{crop}.tif", {"crop_to_aoi": crop}

    def run(area=folder, limit=None):
        windows = Windows(limit)
        predict(folder, name, predictor=windows.predictor, aoi=area / "area.gpkg", **options)
        return windows.count

    whole = run()
    expected = (folder / name).read_bytes()
    (tmp_path / "area.gpkg").write_bytes((folder / "area.gpkg").read_bytes())
    for limit in (whole * 2 // 3, whole - 1):
        with pytest.raises(Killed):
            run(limit=limit)
        assert run(tmp_path) < whole and "area_sha256" not in caplog.text
        assert (folder / name).read_bytes() == expected
    with pytest.raises(Killed):
        run(limit=whole - 1)
    (tmp_path / "area.gpkg").unlink()
    write_area(tmp_path / "area.gpkg", transform=Affine(0.5, 0, 300_001, 0, -0.5, 2_800_000))
    run(tmp_path)
    assert "area_sha256" in caplog.text


def test_killed_workers_go_on_within_the_area(tmp_path):
    """Bands of one process and of two give the same map of three squares, far from each other."""
    write_scene(tmp_path, width=80)
    write_model(tmp_path)
    squares = [box(300_005, y, 300_025.3, y + 40) for y in (2_798_000, 2_799_000, 2_799_300.2)]
    pyogrio.raw.write(
        *(tmp_path / "area.gpkg", shapely.to_wkb(squares), [], []),
        crs=PLACE["crs"],
        geometry_type="Polygon",
    )
    options = {"aoi": str(tmp_path / "area.gpkg"), "crop_to_aoi": True, "resolution": "native"}
    maps = {kind: tmp_path / f"{kind}.tif" for kind in ("confidence", "probabilities")}
    predictor = kd.compile_for_inference(tmp_path / "model.xml", "openvino", "float32")
    found = kd.predict_raster(
        *(predictor, tmp_path / "scene.tif", tmp_path / "map.tif"),
        **{"progress": False, "window": 512, **options, **maps},
    )
    with rasterio.open(tmp_path / "map.tif") as written:
        expected = written.read(1)
    assert expected.shape[1] == 41 and (expected != 255).sum() > 5_000
    options |= {"vector": str(tmp_path / "map.gpkg"), "workers": 2}
    process = stopped_run(tmp_path, **options)
    process.kill()
    process.communicate()
    result, said = finish_run(tmp_path, **options)
    assert re.search(r"map\.tif: \d of \d bands are finished", said)
    assert result["polygons"].pop("left_out") == 0
    polygons = pyogrio.raw.read(tmp_path / "map.gpkg", layer="map", columns=["pixels"])[3][0]
    assert len(polygons) == result.pop("polygons")["polygons"]
    assert polygons.sum() == (expected != 255).sum()  # no class is the background
    with rasterio.open(tmp_path / "map.tif") as written:
        np.testing.assert_array_equal(written.read(1), expected)
    assert {**result, "seconds": None} == {**found, "seconds": None}


@pytest.mark.parametrize("scale", [1.0, 0.3, 3.7])
@pytest.mark.parametrize("part", [Part(0, 5000, 0, 3000), Part(1203, 2977, 10, 900)])
def test_bands_cover_the_part(part, scale):
    plan = plan_windows(5000, 3000, scale=scale, window=512, overlap=128, classes=900)
    seen = np.zeros((5000, 3000), int)
    for band in plan_bands(plan, part):
        seen[band.top : band.bottom, band.left : band.right] += 1
    top, bottom, left, right = part
    assert (seen[top:bottom, left:right] == 1).all() and seen.sum() == np.prod(part.size)


def test_mistakes(folder, tmp_path):
    with pytest.raises(InputError, match="crop_to_aoi needs an area"):
        predict(folder, "no.tif", crop_to_aoi=True)
    write_raster(tmp_path / "scene.tif", np.ones((70, 80, 3), "uint8"), crs=None)
    with pytest.raises(InputError, match=r"scene\.tif has no CRS"):
        predict(tmp_path, "no.tif", aoi=folder / "area.gpkg")
    far = {"transform": Affine(0.5, 0, 400_000, 0, -0.5, 2_800_000)}
    write_raster(tmp_path / "scene.tif", np.ones((70, 80, 3), "uint8"), **far)
    with pytest.raises(InputError, match=r"x 300065 to 3004\d.*the scene x 400000 to 400040"):
        predict(tmp_path, "no.tif", aoi=folder / "area.gpkg")
    assert not (tmp_path / "no.tif").exists() and not (folder / "no.tif").exists()
