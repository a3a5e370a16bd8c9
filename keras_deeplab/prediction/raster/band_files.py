"""Files of a band: the pixels of each map, which appear whole or not at all, and its record."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import typing
from collections.abc import Iterator, Mapping

import numpy as np

from keras_deeplab._internal.files import atomic_write
from keras_deeplab.data.files.rasters import without_georeference_warning
from keras_deeplab.prediction.raster.bands import Band
from keras_deeplab.prediction.raster.class_areas import ClassAreas
from keras_deeplab.prediction.raster.layout import Layout
from keras_deeplab.prediction.raster.targets import nodata_pixels_of, write_errors

if typing.TYPE_CHECKING:
    from rasterio.io import DatasetWriter


class BandRecord(typing.NamedTuple):
    """What is known of a finished band.

    Attributes:
        pixels: Number of pixels of each class.
        square_metres: Area of each class on the ground.
        bad_pixels: Pixels that could not be read.
        sizes: Bytes of its file of each map.
    """

    pixels: list[int]
    square_metres: list[float]
    bad_pixels: int
    sizes: dict[str, int]


def band_file(layout: Layout, kind: str, band: Band) -> pathlib.Path:
    """File of the pixels of a band."""
    return layout.folder(kind) / f"{band.index:06d}.tif"


def _record_file(layout: Layout, band: Band) -> pathlib.Path:
    return layout.folder("classes") / f"{band.index:06d}.json"


def read_record(layout: Layout, band: Band) -> BandRecord | None:
    """The record of a finished band; `None` when it is not finished, or lacks a file."""
    try:
        text = _record_file(layout, band).read_text(encoding="utf-8")
        record = BandRecord(**json.loads(text))
        found = {kind: band_file(layout, kind, band).stat().st_size for kind in layout.targets}
    except (OSError, ValueError, TypeError):
        return None
    return record if record.sizes == found else None


class BandWriter:
    """Writes a band; `write_band` makes it.

    Attributes:
        areas: `ClassAreas` of what was written.
    """

    def __init__(
        self,
        layout: Layout,
        band: Band,
        files: Mapping[str, DatasetWriter],
        areas: ClassAreas,
    ) -> None:
        self.areas = areas
        self._layout, self._band, self._files = layout, band, files

    def write(self, top: int, left: int, labels: np.ndarray, probabilities: np.ndarray) -> None:
        """Writes a part of the band.

        Args:
            top: Its first row in the scene.
            left: Its first column in the scene.
            labels: `(H, W)` uint8, 255 without data.
            probabilities: `(H, W, classes)` float32; scores will do for the classes.
        """
        from rasterio.windows import Window

        row, column = top - self._band.top, left - self._band.left
        window = Window(column, row, labels.shape[1], labels.shape[0])
        for kind, file in self._files.items():
            with write_errors(self._layout.targets[kind]):
                file.write(self._layout.stored(kind, labels, probabilities), window=window)
        self.areas.add(labels, top, left)


@contextlib.contextmanager
def write_band(layout: Layout, band: Band, areas: ClassAreas) -> Iterator[BandWriter]:
    """Context manager: a `BandWriter`; at the end the files get their names.

    Args:
        layout: `Layout`.
        band: The band.
        areas: Empty `ClassAreas`.
    """
    import rasterio

    height, width = band.bottom - band.top, band.right - band.left
    paths = {
        kind: band_file(layout, kind, band).with_suffix(f".{os.getpid()}.tif")
        for kind in layout.targets
    }
    files: dict[str, DatasetWriter] = {}
    try:
        for kind, path in paths.items():
            with write_errors(layout.targets[kind]), without_georeference_warning():
                files[kind] = rasterio.open(path, "w", **layout.profile(kind, height, width))
        yield BandWriter(layout, band, files, areas)
        nodata_pixels = band.pixels - int(areas.pixels.sum())
        for kind, path in paths.items():
            with write_errors(layout.targets[kind]):
                files[kind].close()
                if nodata_pixels_of(path) != nodata_pixels:
                    raise OSError(
                        f"{layout.targets[kind]} cannot be written: a part of it is incomplete."
                    )
                path.replace(band_file(layout, kind, band))
    finally:
        for kind, file in files.items():
            with contextlib.suppress(OSError), write_errors(layout.targets[kind]):
                file.close()
            paths[kind].unlink(missing_ok=True)


def write_record(layout: Layout, band: Band, areas: ClassAreas, bad_pixels: int) -> BandRecord:
    """Writes the record of a band whose files are written: from now on it is finished."""
    sizes = {kind: band_file(layout, kind, band).stat().st_size for kind in layout.targets}
    record = BandRecord(areas.pixels.tolist(), areas.square_metres.tolist(), bad_pixels, sizes)
    with (
        write_errors(layout.targets["classes"]),
        atomic_write(_record_file(layout, band)) as path,
    ):
        path.write_text(json.dumps(record._asdict()), encoding="utf-8")  # NaN for unknown areas
    return record
