"""Matches of outlines: counted by hand, and through files of two coordinate systems."""

import json
import math

import numpy as np
import pytest
import rasterio
import shapely
from in_process import run

from keras_deeplab.evaluation.outlines import match_outlines


def boxes(*bounds):
    return np.array([shapely.box(*each) for each in bounds], object)


REFERENCE = boxes((0, 0, 10, 10), (10, 0, 20, 10), (30, 0, 40, 10), (50, 0, 60, 10))


def test_pairs_merges_and_misses_are_counted():
    predicted = boxes(
        (0, 0, 20, 10),  # two at once: IoU 0.5 with either, in one pair only
        (31, 0, 40, 10),  # IoU 0.9
        (50, 0, 60, 4),  # IoU 0.4
        (80, 0, 90, 10),  # nothing there
    )
    scores = match_outlines(predicted, REFERENCE)
    assert (scores.reference, scores.predicted, scores.matched, scores.merged) == (4, 4, 2, 1)
    assert scores.mean_iou == pytest.approx((0.5 + 0.9) / 2)
    assert scores.precision == scores.recall == scores.f_score == 0.5
    strict = match_outlines(predicted, REFERENCE, iou=0.6)
    assert (strict.matched, strict.merged) == (1, 2)


def test_the_best_pair_comes_first():
    """The first prediction alone would take the reference polygon from the better one."""
    predicted = boxes((0, 0, 10, 6), (0, 0, 10, 9))
    scores = match_outlines(predicted, REFERENCE[:1])
    assert (scores.matched, scores.mean_iou) == (1, 0.9)


def test_no_predictions():
    scores = match_outlines(boxes(), REFERENCE)
    assert (scores.matched, scores.recall) == (0, 0) and math.isnan(scores.precision)
    assert scores.to_json()["precision"] is None and scores.to_json()["recall"] == 0
    with pytest.raises(ValueError, match="iou must be above 0"):
        match_outlines(REFERENCE, REFERENCE, iou=0)


def write_geojson(path, polygons, crs):
    features = [
        {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(polygon))}
        for polygon in polygons
    ]
    name = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs}"}}
    text = {"type": "FeatureCollection", "crs": name, "features": features}
    path.write_text(json.dumps(text))
    return path


def test_command_compares_files_on_the_ground_of_a_scene(tmp_path):
    """References in longitude and latitude; one at the border counts, clipped, one beyond not."""
    import pyproj

    project = pyproj.Transformer.from_crs(32645, 4326, always_xy=True).transform
    corner = 300_000, 3_000_000
    reference = [
        shapely.transform(
            shapely.box(corner[0] + x, corner[1], corner[0] + x + 10, corner[1] + 10),
            lambda xy: np.stack(project(*xy.T), -1),
        )
        for x in (0, 20, 34, 39)
    ]
    predicted = boxes((0, 0, 10, 10), (34, 0, 40, 10))
    predicted = shapely.transform(predicted, lambda xy: xy + corner)
    scene = tmp_path / "scene.tif"
    transform = rasterio.Affine(1, 0, corner[0], 0, -1, corner[1] + 20)
    profile = {"width": 40, "height": 20, "count": 1, "dtype": "uint8", "crs": "EPSG:32645"}
    with rasterio.open(scene, "w", driver="GTiff", transform=transform, **profile):
        pass
    files = [
        write_geojson(tmp_path / "predicted.geojson", predicted, 32645),
        write_geojson(tmp_path / "reference.geojson", reference, 4326),
    ]
    output = tmp_path / "scores.json"
    result = run("outlines", *files, "--scene", scene, "--json", output)
    assert "2 of 3 outlines found (recall 0.6667), 2 predicted (precision 1.0000)" in result.stdout
    assert json.loads(output.read_text())["mean_iou"] == pytest.approx(1, abs=1e-3)
