"""Reading image files as network input: bands, value range and valid pixels."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, JpegImagePlugin

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.orientation import orientation
from keras_deeplab.data.files.rasters import (
    UnreadableFileError,
    band_listing,
    blocks,
    open_raster,
    palette,
    valid_pixels,
)

if TYPE_CHECKING:
    from rasterio import DatasetReader
    from rasterio.windows import Window

RGB = (1, 2, 3)

logger = logging.getLogger("keras_deeplab")

BEYOND_8_BITS = (
    "the value range of an 8-bit image must be within 0..255. Convert the file to the data type "
    "of the others, or read it without a value range"
)


@dataclasses.dataclass(frozen=True)
class ImageFormat:
    """Bands to read from an image file, and the scale of their values.

    Args:
        bands: Bands in the order of the network's channels, counted from 1 as in GDAL, or `None`
            for files of three bands besides alpha, which is a mask.
        value_range: `(low, high)`, the stored values that become 0 and 255, or `None` for 8-bit
            files whose values do not change.
    """

    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.bands is not None:
            object.__setattr__(self, "bands", tuple(self.bands))
            if not self.bands or not all(isinstance(b, int) and b >= 1 for b in self.bands):
                raise InputError(f"bands must be integers counted from 1, got {self.bands}.")
        if self.value_range is not None:
            object.__setattr__(self, "value_range", tuple(map(float, self.value_range)))
            low, high = self.value_range if len(self.value_range) == 2 else (math.nan,) * 2
            if not -math.inf < low < high < math.inf:
                raise InputError(
                    f"value_range must be (low, high) with low < high, got {self.value_range}."
                )

    def completed(self, other: ImageFormat) -> ImageFormat:
        """This format, with what it leaves open taken from another."""
        return ImageFormat(self.bands or other.bands, self.value_range or other.value_range)

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return len(self.bands or RGB)

    @property
    def dtype(self) -> str:
        """Name of the dtype of an image."""
        return "uint8" if self.value_range is None else "float32"

    def band_problem(self, raster: DatasetReader) -> str | None:
        """What is wrong with the bands of an open raster, or `None`."""
        colors = _color_bands(raster)
        count = len(colors) if palette(raster) is None else 3
        if self.bands is None and count != len(RGB):
            bands = "1 band" if count == 1 else f"{count} bands"
            if count < raster.count:
                bands += " besides alpha"
            return (
                f"{raster.name} has {bands}: {band_listing(raster)}. Choose the input bands of the "
                f"network, {_example_bands(raster)}"
            )
        missing = [band for band in self.bands or () if band > max(raster.count, count)]
        if missing:
            return f"{raster.name} has no band {missing[0]}, only {band_listing(raster)}"
        if any(dtype.startswith("complex") for dtype in raster.dtypes):
            return f"{raster.name} has complex values: convert it, for example to intensities"
        return None

    def bands_of(self, raster: DatasetReader) -> tuple[int, ...]:
        """Bands of an open raster to read: those of the format, else all but alpha."""
        if self.bands is not None:
            return self.bands
        return RGB if palette(raster) is not None else tuple(_color_bands(raster))

    def lacks_range(self, raster: DatasetReader) -> bool:
        """Whether the values of an open raster need a `value_range` that was not given."""
        return self.value_range is None and not _eight_bits(raster)

    def exceeds_8_bits(self, raster: DatasetReader) -> bool:
        """Whether an open raster of 8 bits is read with a `value_range` of more bits."""
        low, high = self.value_range or (0, 255)
        return _eight_bits(raster) and not 0 <= low < high <= 255

    def all_valid(self, raster: DatasetReader, nodata: float | None = None) -> bool:
        """Whether no pixel of an open raster can lack data, see `read_open`."""
        from rasterio.enums import MaskFlags

        stored = [1] if palette(raster) is not None else self.bands_of(raster)
        return nodata is None and all(
            MaskFlags.all_valid in raster.mask_flag_enums[band - 1]
            and np.dtype(raster.dtypes[band - 1]).kind != "f"
            for band in stored
        )

    def describe_range(self, path: StrPath) -> str:
        """Dtype, lowest and highest value of a file, as a message to help choose a range."""
        low, high = math.inf, -math.inf
        with open_raster(path) as raster:
            colors = palette(raster)
            bands = list(self.bands_of(raster)) if colors is None else [1]
            for window in blocks(raster.shape):
                values = raster.read(bands, window=window, masked=True).compressed()
                values = values[np.isfinite(values)] if colors is None else colors[values]
                if values.size:
                    low, high = min(low, values.min()), max(high, values.max())
            return f"{path} is {raster.dtypes[bands[0] - 1]}, its values {low:g} to {high:g}"

    def read(
        self, path: StrPath, window: Window | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Reads an image or a window of it.

        Args:
            path: A file of this format. Its orientation is applied.
            window: The window of the turned image, or `None` for the whole image.

        Returns:
            `(image, valid)`: `(H, W, channels)` uint8, or float32 0..255 with a `value_range`;
            and `(H, W)` bool, false where the file has nodata or NaN (the image is 0 there), or
            `None` if every pixel is valid.

        Raises:
            ValueError: When an 8-bit file is read with a `value_range` of more bits, or a file has
                an orientation and coordinates.
            UnreadableFileError: When the file cannot be opened or is damaged.
        """
        with open_raster(path) as raster:
            if self.exceeds_8_bits(raster):
                raise InputError(f"{self.describe_range(path)}: {BEYOND_8_BITS}")
            seen = orientation(raster)
            window = seen.stored_window(window)
            if raster.driver == "JPEG":
                bands = [band - 1 for band in self.bands_of(raster)]
                image = self._scale(_decode_jpeg(path, window)[..., bands])
                valid = valid_pixels(raster, [band + 1 for band in bands], window)
            else:
                image, valid = self.read_open(raster, window)
        image = np.ascontiguousarray(seen.turn(image))
        if valid is not None:
            valid = seen.turn(valid)
            image[~valid] = 0
        return image, valid

    def read_open(
        self,
        raster: DatasetReader,
        window: Window | None = None,
        *,
        size: tuple[int, int] | None = None,
        nodata: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Reads an open raster, or a window of it, as it is stored, by GDAL alone.

        Args:
            raster: An open raster of this format.
            window: The window, or `None` for the whole raster; its ends may be fractions where a
                size is given.
            size: `(height, width)` to average or interpolate to, or `None` for the size as stored.
                Of a palette the nearest pixels are taken.
            nodata: Stored value that means no data where all bands have it, besides what the file
                says.

        Returns:
            Image and valid pixels as of `read`.
        """
        from rasterio.enums import Resampling

        colors = palette(raster)
        bands = [band - 1 for band in self.bands_of(raster)]
        stored = [1] if colors is not None else [band + 1 for band in bands]
        shape, method = None, Resampling.nearest
        if size is not None:
            shape = (len(stored), *size)
            finer = window is not None and window.height > size[0]
            if colors is None:
                method = Resampling.average if finer else Resampling.bilinear
        pixels = raster.read(stored, window=window, out_shape=shape, resampling=method)
        valid = valid_pixels(raster, stored, window, size)
        image = np.moveaxis(pixels, 0, -1) if colors is None else colors[pixels[0]][..., bands]
        if nodata is not None:
            known = (pixels != nodata).any(axis=0)
            valid = known if valid is None else valid & known
        if image.dtype.kind == "f":
            finite = np.isfinite(image).all(axis=-1)
            valid = finite if valid is None else valid & finite
        image = np.ascontiguousarray(self._scale(image))
        if valid is not None:
            image[~valid] = 0
        return image, valid

    def _scale(self, image: np.ndarray) -> np.ndarray:
        if self.value_range is None:
            return image
        low, high = self.value_range
        exact = np.result_type(image, np.float32)  # float64 for 32-bit integers
        scaled = (image.astype(exact) - low) * (255 / (high - low))
        return np.clip(scaled, 0, 255).astype(np.float32)


def _decode_jpeg(path: StrPath, window: Window | None) -> np.ndarray:
    # With Pillow, not GDAL, whose decoder may upsample the chroma differently: the results of the
    # zoo were measured with Pillow's pixels. It decodes all rows, with 4 bytes per pixel.
    # Not with `Image.open`, which refuses more than 179 megapixels as a protection of servers.
    try:
        with JpegImagePlugin.JpegImageFile(path) as image:
            part = image if window is None else _cut(image, window)
            pixels = np.asarray(part if part.mode in ("L", "RGB") else part.convert("RGB"))
            return np.atleast_3d(pixels)
    except (OSError, SyntaxError) as error:  # SyntaxError: Pillow's word for a damaged header
        raise UnreadableFileError(path, f"cannot be read as an image ({error})") from error


def _cut(image: Image.Image, window: Window) -> Image.Image:
    # As `Image.crop`, which has the limit of `Image.open`.
    left, top = window.col_off, window.row_off
    box = (left, top, left + window.width, top + window.height)
    return image.transform((window.width, window.height), Image.Transform.EXTENT, box)


def is_grey(raster: DatasetReader) -> bool:
    """Whether an open raster has one band besides alpha, and no palette."""
    return palette(raster) is None and len(_color_bands(raster)) == 1


def _color_bands(raster: DatasetReader) -> list[int]:
    """Bands of an open raster that are not alpha."""
    kinds = zip(raster.indexes, raster.colorinterp, strict=True)
    return [band for band, kind in kinds if kind.name != "alpha"]


def _eight_bits(raster: DatasetReader) -> bool:
    return palette(raster) is not None or set(raster.dtypes) == {"uint8"}


def _example_bands(raster: DatasetReader) -> str:
    """Three bands that an open raster has, as Python and as an option."""
    count = len(_color_bands(raster))
    bands = {1: (1, 1, 1), 2: (1, 2, 2), 3: (1, 2, 3)}.get(count, (4, 1, 2))
    return f"for example bands={bands} or --bands {','.join(map(str, bands))}"


def read_image(path: StrPath, form: ImageFormat) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads one image for prediction, as `ImageFormat.read`.

    A file of one grey band is read as red, green and blue where the format names no bands, and a
    log message says so.

    Raises:
        ValueError: For a file of another format.
    """
    with open_raster(path) as raster:
        if form.bands is None and is_grey(raster):
            logger.warning("%s has one band: it is read as --bands 1,1,1.", path)
            form = dataclasses.replace(form, bands=(1, 1, 1))
        problem = form.band_problem(raster)
        if problem or form.lacks_range(raster):
            undecided = problem and form.bands is None
            choice = f" Choose three, {_example_bands(raster)}." if undecided else ""
            depth = "an 8-bit image" if form.value_range is None else "an image"
            bands = "RGB" if form.bands is None else f"bands {', '.join(map(str, form.bands))}"
            raise InputError(
                f"{path}: expected {depth} with {bands}, found {raster.dtypes[0]} with bands "
                f"{band_listing(raster)}.{choice}"
            )
    return form.read(path)
