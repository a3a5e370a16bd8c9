"""Which maps a run writes, where, and how their pixels are stored."""

from __future__ import annotations

import dataclasses
import pathlib
import typing
from collections.abc import Mapping

import numpy as np

from keras_deeplab._internal.files import parts_folder
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.files.places import Grid

BLOCK = 512


class Pixels(typing.NamedTuple):
    """How the pixels of a map are stored.

    Attributes:
        dtype: Type in memory.
        nodata: Value without data.
        certain: Value of the probability 1.
        overviews: GDAL's resampling of the overviews.
        bits: Bits of a pixel in the file.
    """

    dtype: str = "uint8"
    nodata: float = IGNORE_INDEX
    certain: int = 1
    overviews: str = "AVERAGE"
    bits: int = 8


CLASSES = Pixels(overviews="MODE")
CONFIDENCE = Pixels(certain=100)  # percent
PROBABILITIES = {
    "uint8": Pixels(certain=250),  # steps of 0.4 %
    "float16": Pixels("float32", float("nan"), bits=16),  # rasterio has no float16
}


@dataclasses.dataclass(frozen=True)
class Layout:
    """The maps of a run.

    Args:
        grid: `Grid` of the maps.
        classes: `ClassTable`.
        targets: File of each kind of map: `"classes"`, `"confidence"`, `"probabilities"`.
        probabilities_dtype: Key of `PROBABILITIES`.
        top: Row of the scene that is the first of the maps.
        left: Column of the scene that is the first of the maps.
    """

    grid: Grid
    classes: ClassTable
    targets: Mapping[str, pathlib.Path]
    probabilities_dtype: str = "uint8"
    top: int = 0
    left: int = 0

    @property
    def has_probabilities(self) -> bool:
        """Whether a map is written that needs probabilities, not only classes."""
        return len(self.targets) > 1

    def folder(self, kind: str) -> pathlib.Path:
        """Folder of what is written before the map of a kind is finished."""
        return parts_folder(self.targets[kind])

    def pixels(self, kind: str) -> Pixels:
        """How the pixels of a kind are stored."""
        known = {"classes": CLASSES, "confidence": CONFIDENCE}
        return known.get(kind) or PROBABILITIES[self.probabilities_dtype]

    def profile(self, kind: str, height: int, width: int) -> dict[str, typing.Any]:
        """Options to create a temporary file of some pixels of a map with."""
        pixels = self.pixels(kind)
        return {
            "driver": "GTiff",
            "dtype": pixels.dtype,
            "nodata": pixels.nodata,
            "nbits": pixels.bits,
            "count": len(self.classes) if kind == "probabilities" else 1,
            "height": height,
            "width": width,
            "tiled": True,
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "interleave": "band",
            "compress": "deflate",
            "zlevel": 1,
            "bigtiff": "if_safer",
            "sparse_ok": True,  # else closing it after an error would write all that is missing
        }

    def stored(self, kind: str, labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Pixels of a map `(bands, H, W)`.

        Args:
            kind: Kind of the map.
            labels: `(H, W)` uint8, 255 without data.
            probabilities: `(H, W, classes)` float32; scores will do for the classes.
        """
        if kind == "classes":
            return labels[np.newaxis]
        confidence = kind == "confidence"
        bands = (
            probabilities.max(-1)[np.newaxis] if confidence else np.moveaxis(probabilities, -1, 0)
        )
        pixels = self.pixels(kind)
        bands = bands * pixels.certain
        # GDAL would cut off the digits that a half float cannot hold; NumPy rounds them.
        bands = np.rint(bands) if pixels.dtype == "uint8" else bands.astype(np.float16)
        bands = bands.astype(pixels.dtype)
        bands[:, labels == IGNORE_INDEX] = pixels.nodata
        return bands
