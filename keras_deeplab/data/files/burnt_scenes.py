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
from keras_deeplab.data.files.places import apply_transform
from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.files.scenes import Scene, region_of

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
    _check_places(polygons, total, len(used), without, len(scenes))
    outside = f", {total - len(used):,} outside" if len(used) < total else ""
    origin = f"{len(used):,} of {total:,} polygons{outside}"
    return [providers[number] for number in range(len(scenes))], origin


def _on_scene(polygons: np.ndarray, scene: Scene) -> np.ndarray:
    """Which polygons meet the area of a scene, `(polygons,)` bool."""
    import shapely

    height, width = scene.shape
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    outline = shapely.polygons(_ground(scene, corners))
    shapely.prepare(outline)
    return shapely.intersects(outline, polygons)


def _ground(scene: Scene, pixels: np.ndarray) -> np.ndarray:
    """Coordinates `(N, 2)` of pixels `(column, row)` of a scene."""
    return np.stack(apply_transform(scene.grid.transform, *pixels.T), axis=-1)


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


def _check_places(
    polygons: PolygonLabels, total: int, used: int, without: Sequence[str], scenes: int
) -> None:
    """Raises a `ValueError` if no polygon is on a scene; warns of scenes without any."""
    if not used:
        raise InputError(
            f"{polygons.path}: none of its {total:,} polygons is on the scenes ({without[0]}). "
            "Open both in QGIS: if they do not lie on each other there, a CRS is wrong."
        )
    if without:
        logger.warning(
            "%d of %d scenes have no polygon. If they are not labelled, leave them out:%s",
            len(without),
            scenes,
            listing(without),
        )
