"""Validation by place: ground of scenes that the training does not see, with a gap around it."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing
from collections.abc import Callable, Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.problems import raise_problems
from keras_deeplab.data.files.blocks import draw_blocks
from keras_deeplab.data.files.burning import Burner, in_pixels
from keras_deeplab.data.files.labelled import LabelProvider
from keras_deeplab.data.files.labelled_scenes import CELL
from keras_deeplab.data.files.restricted import RestrictedLabels, grown
from keras_deeplab.data.files.scenes import Scene, region_of

TRAIN, VAL = "train", "val"
LON_LAT = "OGC:CRS84"
DEGREES = 1e-7  # tolerance in it, about a centimetre


@dataclasses.dataclass(frozen=True)
class ValidationPlace:
    """Which ground of scenes is for validation, for `from_rasters(place=...)`.

    Neighbouring windows of one scene are nearly the same image: a score on windows drawn at random
    is that of ground that the training has seen. Give one of `area`, `scenes` and `fraction`.

    Args:
        area: Vector file of polygons: the validation ground.
        scenes: Scenes, among those of the dataset, that are for validation alone.
        fraction: Share of the labelled ground in square blocks at random places, 0..1.
        blocks: Number of these blocks.
        seed: Seed of their places, 0 or more.
        gap: Pixels around the validation ground that are not used for training either; at least
            the side of a training window, so that none reaches the validation ground.
    """

    area: StrPath | None = None
    scenes: tuple[StrPath, ...] = ()
    fraction: float | None = None
    blocks: int = 4
    seed: int = 0
    gap: int = 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "scenes", tuple(map(pathlib.Path, self.scenes)))
        given = (self.area is not None, bool(self.scenes), self.fraction is not None)
        if sum(given) != 1:
            raise InputError("A ValidationPlace needs one of area, scenes and fraction.")
        if self.fraction is not None and not 0 < self.fraction < 1:
            raise InputError(f"fraction must be between 0 and 1, got {self.fraction}.")
        for name, least in (("blocks", 1), ("seed", 0), ("gap", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise InputError(
                    f"ValidationPlace {name} must be an integer of {least} or more, got {value!r}."
                )

    @property
    def distance(self) -> int:
        """Pixels around the validation ground without labels for the training.

        Random windows are drawn around pixels of cells that have labels, not of the labels alone.
        """
        return self.gap + CELL

    def check_windows(self, size: int) -> None:
        """Raises a `ValueError` if windows of a side could reach across the gap."""
        if size > self.gap:
            raise InputError(
                f"Training windows of {size} pixels need a gap of at least {size} pixels around "
                f"the validation ground, got {self.gap}."
            )

    def find(
        self, scenes: Sequence[Scene], weights: Callable[[], Sequence[np.ndarray]]
    ) -> ValidationGround:
        """Finds the ground on scenes.

        Args:
            scenes: All scenes of training and validation.
            weights: Function without arguments that returns, for each scene, the labelled pixels of
                its cells; called if blocks are to be drawn.

        Raises:
            ValueError: When the ground is not on the scenes, or leaves none for the training.
        """
        if self.fraction is not None:
            margin = -(-self.distance // CELL)
            drawn = draw_blocks(weights(), self.fraction, self.blocks, self.seed, margin)
            blocks = (_outline(scenes[number], rows, columns) for number, rows, columns in drawn)
            return ValidationGround(self, tuple(blocks))
        own = [scene for scene in scenes if self.has(scene.path)]
        missing = {*map(str, self.scenes)} - {scene.path for scene in own}
        if missing and {*map(_real, missing)} - {_real(scene.path) for scene in own}:
            raise_problems("Validation scenes that are not among the scenes", sorted(missing))
        if self.scenes and len(own) == len(scenes):
            raise InputError("All scenes are for validation: none is left for the training.")
        return ValidationGround(self, tuple(map(_outline, own)))

    def has(self, path: StrPath) -> bool:
        """Whether a scene is for validation as a whole."""
        return _real(path) in map(_real, self.scenes)


class Outline(typing.NamedTuple):
    """A polygon on the ground.

    Attributes:
        crs: Its coordinate reference system.
        points: `(N, 2)` coordinates.
    """

    crs: typing.Any
    points: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class ValidationGround:
    """The ground of a `ValidationPlace`.

    Args:
        place: The `ValidationPlace`.
        outlines: Outlines of blocks or scenes; none for an area, which is in its file.
    """

    place: ValidationPlace
    outlines: tuple[Outline, ...]

    def scenes(self, scenes: Sequence[Scene], subset: str) -> list[Scene]:
        """The scenes of `"train"` or `"val"`."""
        if not self.place.scenes:
            return list(scenes)
        return [scene for scene in scenes if self.place.has(scene.path) == (subset == VAL)]

    def restrict(
        self, scenes: Sequence[Scene], labels: Sequence[LabelProvider], subset: str
    ) -> list[LabelProvider]:
        """Labels of scenes that are ignored where they are not of `"train"` or `"val"`.

        Raises:
            ValueError: When no scene has validation ground.
        """
        found = [self.polygons(scene) for scene in scenes]
        if subset == VAL and not any(map(len, found)):
            raise InputError(f"{self.place.area}: none of its polygons is on the scenes.")
        return [
            RestrictedLabels(provider, self._burner(polygons, subset), subset == VAL)
            for provider, polygons in zip(labels, found, strict=True)
        ]

    def polygons(self, scene: Scene) -> np.ndarray:
        """Shapely polygons of the ground near a scene, in its pixels."""
        import shapely

        from keras_deeplab.data.files.polygon_files import read_polygons
        from keras_deeplab.data.files.reprojection import project_polygons

        far = self.place.distance
        crs, tolerance, bounds = region_of([scene], far)
        if self.place.area is not None:
            read = read_polygons(self.place.area, crs, tolerance=tolerance, near=bounds)
            found = read.geometries
        else:
            found = np.concatenate(
                [
                    project_polygons(np.array([shapely.polygons(points)]), own_crs, crs, tolerance)
                    for own_crs, points in self.outlines
                ]
            )
        known = np.isfinite(shapely.bounds(found)).all(axis=1)
        placed = in_pixels(found[known], scene.grid.transform)
        height, width = scene.shape
        return placed[
            shapely.intersects(placed, shapely.box(-far, -far, width + far, height + far))
        ]

    def grown(self, polygons: np.ndarray) -> np.ndarray:
        """Polygons in pixels with the gap around them."""
        return grown(polygons, self.place.distance)

    def geojson(self) -> dict[str, typing.Any]:
        """The ground as a GeoJSON object, in longitude and latitude."""
        import shapely

        from keras_deeplab.data.files.polygon_files import read_polygons
        from keras_deeplab.data.files.reprojection import project_polygons

        if self.place.area is not None:
            found = list(read_polygons(self.place.area, LON_LAT, tolerance=DEGREES).geometries)
        else:
            found = [
                project_polygons(np.array([shapely.polygons(points)]), crs, LON_LAT, DEGREES)[0]
                for crs, points in self.outlines
            ]
        features = [
            {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(each))}
            for each in found
        ]
        return {"type": "FeatureCollection", "features": features}

    def _burner(self, polygons: np.ndarray, subset: str) -> Burner:
        if subset == TRAIN:
            polygons = self.grown(polygons)
        return Burner(polygons, np.ones(len(polygons), np.uint8), all_touched=subset == TRAIN)


def lon_lat_outlines(scenes: Sequence[Scene]) -> np.ndarray:
    """Outlines of scenes as shapely polygons in longitude and latitude."""
    import shapely

    from keras_deeplab.data.files.reprojection import project_polygons

    return np.concatenate(
        [
            project_polygons(
                np.array([shapely.polygons(scene.outline())]), scene.grid.crs, LON_LAT, DEGREES
            )
            for scene in scenes
        ]
    )


def _outline(
    scene: Scene,
    rows: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
) -> Outline:
    """The outline of a scene, or of a block of its cells."""
    height, width = scene.shape
    top, bottom = (0, height) if rows is None else (rows[0] * CELL, rows[1] * CELL)
    left, right = (0, width) if columns is None else (columns[0] * CELL, columns[1] * CELL)
    bottom, right = min(bottom, height), min(right, width)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    return Outline(scene.grid.crs, scene.ground(corners))


def _real(path: StrPath) -> pathlib.Path:
    return pathlib.Path(path).resolve()
