"""Labels that count only on some ground, or only at a distance from it."""

from __future__ import annotations

import typing

import numpy as np

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.burning import Burner
from keras_deeplab.data.files.labelled import LabelProvider

if typing.TYPE_CHECKING:
    from rasterio.windows import Window


class RestrictedLabels(typing.NamedTuple):
    """A `LabelProvider` whose labels are ignored on one side of a border.

    Attributes:
        labels: The labels.
        ground: `Burner` of 1 for the ground.
        inside: Whether labels count on that ground; else outside of it.
    """

    labels: LabelProvider
    ground: Burner
    inside: bool

    @property
    def path(self) -> str:
        """The file of the labels."""
        return self.labels.path

    def read(self, window: Window | None) -> np.ndarray:
        """`(H, W)` uint8 class indices of a window, 255 for ignored pixels."""
        assert window is not None  # scenes are never read whole
        label = self.labels.read(window)
        label[(self.ground.burn(window, 0) > 0) != self.inside] = IGNORE_INDEX
        return label


def grown(polygons: np.ndarray, distance: float) -> np.ndarray:
    """Polygons and all that is nearer to them than a distance along both axes.

    It is the sum with a square, exactly: the union of the convex hulls of each edge, moved to the
    four corners of the square.

    Returns:
        Array of one polygon or multipolygon; empty if there is no polygon.
    """
    import shapely

    if not len(polygons):
        return polygons
    points, rings = shapely.get_coordinates(
        shapely.get_rings(shapely.get_parts(polygons)), return_index=True
    )
    same = rings[1:] == rings[:-1]
    edges = np.stack([points[:-1][same], points[1:][same]], axis=1)
    square = distance * np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)])
    corners = (edges[:, :, np.newaxis] + square).reshape(len(edges), -1, 2)
    hulls = shapely.convex_hull(shapely.multipoints(corners))
    return np.array([shapely.union_all(np.concatenate([polygons, hulls]))])
