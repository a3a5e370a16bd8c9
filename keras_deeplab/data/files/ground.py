"""What image files say of the ground: the meaning of their bands, and their resolution."""

from __future__ import annotations

import concurrent.futures
import typing
from collections.abc import Sequence

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.images import RGB, ImageFormat
from keras_deeplab.data.files.places import grid_of, places_of
from keras_deeplab.data.files.rasters import UnreadableFileError, open_raster, palette

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader

SAME_RESOLUTION = 0.1  # relative difference between files of one resolution
UNNAMED = ("undefined", "gray", "palette", "alpha")  # colour interpretations without a meaning


class Ground(typing.NamedTuple):
    """What is known of images.

    Attributes:
        channels: Meaning of each channel read, such as `("nir", "red", "green")`, or `None`.
        resolution_m: Ground resolution in metres per pixel, or `None`.
    """

    channels: tuple[str, ...] | None
    resolution_m: float | None


def describe_ground(paths: Sequence[StrPath], form: ImageFormat) -> Ground:
    """What the headers of image files agree on; `None` for what they do not say or disagree on.

    Args:
        paths: Image files; unreadable ones do not count.
        form: `ImageFormat` that says which bands are read.
    """

    def inspect(path: StrPath) -> Ground | None:
        try:
            with open_raster(path) as raster:
                return Ground(_channels(raster, form), _resolution(raster))
        except UnreadableFileError:
            return None

    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = [ground for ground in pool.map(inspect, paths) if ground is not None]
    channels = {ground.channels for ground in found}
    resolutions = [ground.resolution_m for ground in found if ground.resolution_m is not None]
    same = len(resolutions) == len(found) > 0 and max(resolutions) <= min(resolutions) * (
        1 + SAME_RESOLUTION
    )
    return Ground(
        channels.pop() if len(channels) == 1 else None,
        sorted(resolutions)[len(resolutions) // 2] if same else None,
    )


def _channels(raster: DatasetReader, form: ImageFormat) -> tuple[str, ...] | None:
    if palette(raster) is not None:
        return ("red", "green", "blue") if form.bands in (None, RGB) else None
    names = []
    for band in form.bands_of(raster):
        if band > raster.count:
            return None
        name = raster.colorinterp[band - 1].name
        names.append((raster.descriptions[band - 1] or "").lower() if name in UNNAMED else name)
    return tuple(names) if all(names) else None


def _resolution(raster: DatasetReader) -> float | None:
    """Metres on the ground per pixel, to three digits; `None` without a georeference."""
    places = places_of(grid_of(raster))
    return None if places is None else float(f"{places.resolution_m:.3g}")
