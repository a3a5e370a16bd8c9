"""The maps of a scene: classes, confidence, probabilities; they appear whole or not at all."""

from __future__ import annotations

import contextlib
import pathlib
import typing
from collections.abc import Mapping

import numpy as np

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.data.drawing import class_colors
from keras_deeplab.data.files.places import Grid
from keras_deeplab.data.files.rasters import without_georeference_warning
from keras_deeplab.prediction.raster.legend import write_class_names, write_qgis_style
from keras_deeplab.prediction.raster.targets import (
    nodata_pixels_of,
    publish,
    scratch_folder,
    write_errors,
)

if typing.TYPE_CHECKING:
    from rasterio.io import DatasetWriter

BLOCK = 512
FINISH_CACHE = 16 * 2**20  # bytes of GDAL's cache: finishing takes no more memory than predicting
TEMPORARY = "pixels.tif"


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


class Maps:
    """Context manager: maps are written in parts to temporary files next to the targets.

    `finish` makes them cloud-optimised GeoTIFFs under their names. Without it nothing appears, and
    files that were there before stay. A target has one writer at a time.

    Args:
        grid: `Grid` of the scene.
        classes: `ClassTable`.
        target: File of the class indices.
        confidence: File of the probability of the class, or `None`.
        probabilities: File of the probability of every class, or `None`.
        probabilities_dtype: Key of `PROBABILITIES`.
    """

    def __init__(
        self,
        grid: Grid,
        classes: ClassTable,
        target: StrPath,
        confidence: StrPath | None,
        probabilities: StrPath | None,
        probabilities_dtype: str = "uint8",
    ) -> None:
        targets = {"classes": target, "confidence": confidence, "probabilities": probabilities}
        self._targets = {
            kind: pathlib.Path(path) for kind, path in targets.items() if path is not None
        }
        self._pixels = {
            "classes": CLASSES,
            "confidence": CONFIDENCE,
            "probabilities": PROBABILITIES[probabilities_dtype],
        }
        self._grid = grid
        self._classes = classes
        self._files: dict[str, DatasetWriter] = {}

    def __enter__(self) -> Maps:
        with contextlib.ExitStack() as stack:
            self._folders = {
                kind: stack.enter_context(scratch_folder(path))
                for kind, path in self._targets.items()
            }
            for kind, path in self._targets.items():
                stack.enter_context(write_errors(path))
                self._files[kind] = stack.enter_context(self._temporary(kind))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: typing.Any) -> None:
        self._stack.__exit__(*error)

    @property
    def has_probabilities(self) -> bool:
        """Whether a map is written that needs probabilities, not only classes."""
        return len(self._targets) > 1

    def _temporary(self, kind: str) -> DatasetWriter:
        import rasterio

        grid, pixels = self._grid, self._pixels[kind]
        profile = {"driver": "GTiff", "dtype": pixels.dtype, "nodata": pixels.nodata}
        profile["nbits"] = pixels.bits
        profile |= {"height": grid.height, "width": grid.width, "crs": grid.crs}
        profile |= {"tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "interleave": "band"}
        profile |= {"compress": "deflate", "zlevel": 1, "bigtiff": "if_safer"}
        profile["sparse_ok"] = (
            True  # else closing it after an error would write all that is missing
        )
        profile["count"] = len(self._classes) if kind == "probabilities" else 1
        if grid.gcps:
            profile["gcps"] = list(grid.gcps)
        elif not grid.transform.is_identity:
            profile["transform"] = grid.transform
        with without_georeference_warning():
            return rasterio.open(self._folders[kind] / TEMPORARY, "w", **profile)

    def write(self, top: int, left: int, labels: np.ndarray, probabilities: np.ndarray) -> None:
        """Writes a part.

        Args:
            top: Its first row.
            left: Its first column.
            labels: `(H, W)` uint8, 255 without data.
            probabilities: `(H, W, classes)` float32.
        """
        from rasterio.windows import Window

        window = Window(left, top, labels.shape[1], labels.shape[0])
        for kind, file in self._files.items():
            if kind == "classes":
                bands = labels[np.newaxis]
            elif kind == "confidence":
                bands = _stored(probabilities.max(-1)[np.newaxis], self._pixels[kind], labels)
            else:
                bands = _stored(np.moveaxis(probabilities, -1, 0), self._pixels[kind], labels)
            with write_errors(self._targets[kind]):
                file.write(bands, window=window)

    def finish(self, pixels: np.ndarray, tags: Mapping[str, str]) -> None:
        """Gives the maps their names, colours, class names and legend.

        Args:
            pixels: Number of pixels of each class.
            tags: What to note in each file.
        """
        import rasterio

        nodata_pixels = self._grid.height * self._grid.width - int(pixels.sum())
        for kind, path in self._targets.items():
            with write_errors(path):
                self._files[kind].update_tags(**tags)
                self._describe(kind, self._files[kind])
                self._files[kind].close()
                finished = self._folders[kind] / path.name
                with rasterio.Env(GDAL_CACHEMAX=FINISH_CACHE):
                    _copy_optimised(self._folders[kind] / TEMPORARY, finished, self._pixels[kind])
                    if nodata_pixels_of(finished) != nodata_pixels:
                        raise OSError(f"{path} cannot be written: the file is incomplete.")
        new = self._folders["classes"] / self._targets["classes"].name
        write_class_names(new, self._classes, pixels)
        write_qgis_style(new, self._classes)
        for kind, path in reversed(self._targets.items()):  # the classes last
            publish(self._folders[kind], path)

    def _describe(self, kind: str, file: DatasetWriter) -> None:
        if kind == "classes":
            colors = dict(enumerate(map(tuple, class_colors(self._classes).tolist())))
            file.write_colormap(1, {**colors, IGNORE_INDEX: (0, 0, 0, 0)})
            names: tuple[str, ...] = ("class",)
        elif kind == "confidence":
            names = ("probability of the class, percent",)
        else:
            names = self._classes.names
            file.scales = [1 / self._pixels[kind].certain] * len(names)
        for band, name in enumerate(names, start=1):
            file.set_band_description(band, name)


def _stored(probabilities: np.ndarray, pixels: Pixels, labels: np.ndarray) -> np.ndarray:
    bands = probabilities * pixels.certain
    # GDAL would cut off the digits that a half float cannot hold; NumPy rounds them.
    bands = np.rint(bands) if pixels.dtype == "uint8" else bands.astype(np.float16)
    bands = bands.astype(pixels.dtype)
    bands[:, labels == IGNORE_INDEX] = pixels.nodata
    return bands


def _copy_optimised(source: pathlib.Path, target: pathlib.Path, pixels: Pixels) -> None:
    """Copies a GeoTIFF to a cloud-optimised one."""
    import rasterio.shutil

    with without_georeference_warning():
        rasterio.shutil.copy(
            source,
            target,
            driver="COG",
            compress="DEFLATE",
            blocksize=BLOCK,
            nbits=pixels.bits,
            overview_resampling=pixels.overviews,
            bigtiff="IF_SAFER",
        )
