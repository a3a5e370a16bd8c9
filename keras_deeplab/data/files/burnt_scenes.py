"""The labels of scenes that polygons are burnt into."""

from __future__ import annotations

import collections
import logging
import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import listing
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.burning import Burner, BurntLabels, in_pixels
from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.files.reprojection import Bounds
from keras_deeplab.data.files.scenes import Scene, region_of
from keras_deeplab.data.files.vector_layers import extent

logger = logging.getLogger("keras_deeplab")


def burnt_labels(
    scenes: Sequence[Scene], polygons: PolygonLabels, classes: ClassTable
) -> tuple[list[BurntLabels], str]:
    """The labels of each scene, and how many polygons are on the scenes, as text.

    Raises:
        ValueError: When no polygon is on a scene.
    """
    by_crs: dict[typing.Any, list[int]] = collections.defaultdict(list)
    for number, scene in enumerate(scenes):
        by_crs[scene.grid.crs].append(number)
    providers: dict[int, BurntLabels] = {}
    used: set[int] = set()
    total, without = 0, []
    for numbers in by_crs.values():
        region = region_of([scenes[number] for number in numbers])
        found, texts = polygons.read(region, classes)
        area = polygons.read_area(region)
        indices, total = polygons.indices(texts, classes), len(texts)
        values = np.array([indices[text] for text in texts], np.uint8)
        for number in numbers:
            scene = scenes[number]
            on_scene = _on_scene(found.geometries, scene)
            used.update(found.numbers[on_scene].tolist())
            without += [] if on_scene.any() else [scene.path]
            providers[number] = BurntLabels(
                str(polygons.path),
                _burner(found.geometries, values, on_scene, scene, polygons.all_touched),
                polygons.fill(classes),
                area=None if area is None else _area_burner(area.geometries, scene),
            )
    if not used:
        raise InputError(_elsewhere(polygons, total, scenes[0]))
    if without:
        logger.warning(
            "%d of %d scenes have no polygon. If they are not labelled, leave them out:%s",
            len(without),
            len(scenes),
            listing(without),
        )
    outside = f", {total - len(used):,} outside" if len(used) < total else ""
    origin = f"{len(used):,} of {total:,} polygons{outside}"
    return [providers[number] for number in range(len(scenes))], origin


def _on_scene(polygons: np.ndarray, scene: Scene) -> np.ndarray:
    """Which polygons meet the area of a scene, `(polygons,)` bool."""
    import shapely

    outline = shapely.polygons(scene.outline())
    shapely.prepare(outline)
    return shapely.intersects(outline, polygons)


def _burner(
    polygons: np.ndarray,
    values: np.ndarray,
    chosen: np.ndarray,
    scene: Scene,
    all_touched: bool,
) -> Burner:
    placed = in_pixels(polygons[chosen], scene.grid.transform)
    return Burner(placed, values[chosen], all_touched=all_touched)


def _area_burner(area: np.ndarray, scene: Scene) -> Burner:
    return _burner(area, np.ones(len(area), np.uint8), _on_scene(area, scene), scene, False)


def _elsewhere(polygons: PolygonLabels, total: int, scene: Scene) -> str:
    """That no polygon is on a scene, and where both are."""
    import pyproj

    crs, found = extent(polygons.path, polygons.layer)
    back = pyproj.Transformer.from_crs(scene.grid.crs, crs, always_xy=True)
    (bounds,) = region_of([scene]).bounds
    return (
        f"{polygons.path}: none of its {total:,} polygons is on the scenes ({scene.path}). In the "
        f"CRS of the file, {crs.name}, the polygons are in {_text(found)}, the "
        f"scene in {_text(back.transform_bounds(*bounds))}. If that should be the same place, a "
        "CRS is wrong: open both in QGIS."
    )


def _text(bounds: Bounds) -> str:
    left, bottom, right, top = bounds
    return f"x {left:.8g} to {right:.8g}, y {bottom:.8g} to {top:.8g}"
