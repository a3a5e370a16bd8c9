"""The maps of a scene: classes, confidence, probabilities; they appear whole or not at all."""

from __future__ import annotations

import contextlib
import pathlib
import typing
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

import numpy as np

from keras_deeplab._internal.locks import locked_target
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.drawing import class_colors
from keras_deeplab.data.files.rasters import without_georeference_warning
from keras_deeplab.prediction.raster import journal
from keras_deeplab.prediction.raster.band_files import BandRecord, band_file
from keras_deeplab.prediction.raster.bands import Band
from keras_deeplab.prediction.raster.layout import BLOCK, Layout
from keras_deeplab.prediction.raster.legend import write_class_names, write_qgis_style
from keras_deeplab.prediction.raster.run_key import Key
from keras_deeplab.prediction.raster.targets import nodata_pixels_of, publish, write_errors

if typing.TYPE_CHECKING:
    from rasterio.io import DatasetWriter

FINISH_CACHE = 16 * 2**20  # bytes of GDAL's cache: finishing takes no more memory than predicting
TEMPLATE, BANDS = "template.tif", "bands.vrt"
FINISHED = "finished"  # folder: a map may have the name of a band


class Maps:
    """Context manager: maps are made of bands, in folders next to the targets.

    `finish` makes them cloud-optimised GeoTIFFs under their names. Without it nothing appears, and
    files that were there before stay. Finished bands are kept for the next run until the context
    ends without an error after it. A target has one writer at a time.

    Args:
        layout: `Layout`.
        bands: The bands of the scene.
    """

    def __init__(self, layout: Layout, bands: Sequence[Band]) -> None:
        self._layout = layout
        self._bands = bands
        self._begun = self._finished = False

    def __enter__(self) -> Maps:
        with contextlib.ExitStack() as stack:
            for path in self._layout.targets.values():
                stack.enter_context(locked_target(path))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: typing.Any) -> None:
        with self._stack:
            if self._finished and error[0] is None:
                journal.remove(self._layout)
            elif self._begun:
                journal.keep(self._layout, self._bands)

    def begin(self, key: Key, *, resume: bool = True) -> dict[int, BandRecord]:
        """Begins the run of a key, or continues it; returns the records of finished bands."""
        self._begun = True
        return journal.begin(self._layout, self._bands, key, resume=resume)

    def finish(self, pixels: np.ndarray, tags: Mapping[str, str]) -> None:
        """Gives the maps their names, colours, class names and legend; all bands are finished.

        Args:
            pixels: Number of pixels of each class.
            tags: What to note in each file.
        """
        import rasterio

        layout = self._layout
        nodata_pixels = layout.grid.height * layout.grid.width - int(pixels.sum())
        for kind, path in layout.targets.items():
            with write_errors(path), rasterio.Env(GDAL_CACHEMAX=FINISH_CACHE):
                joined = self._join(kind, tags)
                finished = layout.folder(kind) / FINISHED / path.name
                finished.parent.mkdir(exist_ok=True)
                _copy_optimised(joined, finished, layout, kind)
                if nodata_pixels_of(finished) != nodata_pixels:
                    raise OSError(f"{path} cannot be written: the file is incomplete.")
        new = layout.folder("classes") / FINISHED / layout.targets["classes"].name
        write_class_names(new, layout.classes, pixels)
        write_qgis_style(new, layout.classes)
        for kind, path in reversed(list(layout.targets.items())):  # the classes last
            publish(layout.folder(kind) / FINISHED, path)
        self._finished = True

    def _join(self, kind: str, tags: Mapping[str, str]) -> pathlib.Path:
        """Writes a VRT of the bands of a map, with all that GDAL knows of the map itself."""
        import rasterio
        import rasterio.shutil

        layout, grid = self._layout, self._layout.grid
        folder = layout.folder(kind)
        place: dict[str, typing.Any] = {"crs": grid.crs}
        if grid.gcps:
            place["gcps"] = list(grid.gcps)
        elif not grid.transform.is_identity:
            place["transform"] = grid.transform
        profile = layout.profile(kind, grid.height, grid.width)
        with without_georeference_warning():
            template = rasterio.open(folder / TEMPLATE, "w", **profile, **place)
        with template:  # empty: GDAL describes it in the VRT
            template.update_tags(**tags)
            _describe(template, layout, kind)
        with without_georeference_warning():
            rasterio.shutil.copy(folder / TEMPLATE, folder / BANDS, driver="VRT")
        _set_sources(folder / BANDS, layout, kind, self._bands)
        return folder / BANDS


def _describe(file: DatasetWriter, layout: Layout, kind: str) -> None:
    if kind == "classes":
        colors = dict(enumerate(map(tuple, class_colors(layout.classes).tolist())))
        file.write_colormap(1, {**colors, IGNORE_INDEX: (0, 0, 0, 0)})
        names: tuple[str, ...] = ("class",)
    elif kind == "confidence":
        names = ("probability of the class, percent",)
    else:
        names = layout.classes.names
        file.scales = [1 / layout.pixels(kind).certain] * len(names)
    for band, name in enumerate(names, start=1):
        file.set_band_description(band, name)


def _set_sources(vrt: pathlib.Path, layout: Layout, kind: str, bands: Sequence[Band]) -> None:
    """Replaces the sources in a VRT by the files of bands; there is no data where none is."""
    tree = ElementTree.parse(vrt)
    dtype = {"uint8": "Byte", "float32": "Float32"}[layout.pixels(kind).dtype]
    for element in tree.iter("VRTRasterBand"):
        for source in [child for child in element if child.tag.endswith("Source")]:
            element.remove(source)
        for band in bands:
            height, width = band.bottom - band.top, band.right - band.left
            source = ElementTree.SubElement(element, "SimpleSource")
            name = ElementTree.SubElement(source, "SourceFilename", relativeToVRT="1")
            name.text = band_file(layout, kind, band).name
            ElementTree.SubElement(source, "SourceBand").text = element.get("band")
            size = {"RasterXSize": str(width), "RasterYSize": str(height), "DataType": dtype}
            blocks = {"BlockXSize": str(BLOCK), "BlockYSize": str(BLOCK)}
            ElementTree.SubElement(source, "SourceProperties", size | blocks)
            target = (band.left - layout.left, band.top - layout.top)
            for tag, left, top in (("SrcRect", 0, 0), ("DstRect", *target)):
                rectangle = {"xOff": left, "yOff": top, "xSize": width, "ySize": height}
                ElementTree.SubElement(
                    source, tag, {name: str(value) for name, value in rectangle.items()}
                )
    tree.write(vrt, encoding="utf-8")


def _copy_optimised(source: pathlib.Path, target: pathlib.Path, layout: Layout, kind: str) -> None:
    """Copies a raster to a cloud-optimised GeoTIFF."""
    import rasterio.shutil

    pixels = layout.pixels(kind)
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
