"""Made-up scenes whose labels can be seen in the image, and the files they are stored in."""

import io
import warnings
import zipfile

import numpy as np
import rasterio
from PIL import Image


def scene(seed, height, width, classes):
    """Rectangles of random classes: `(H, W, 3)` uint8 image and `(H, W)` uint8 label."""
    rng = np.random.default_rng(seed)
    label = np.zeros((height, width), np.uint8)
    for _ in range(60):
        row, column = rng.integers(0, height), rng.integers(0, width)
        rows, columns = (
            rng.integers(height // 12, height // 3),
            rng.integers(width // 12, width // 3),
        )
        label[row : row + rows, column : column + columns] = rng.integers(0, classes)
    shades = rng.integers(30, 220, (classes, 3))
    image = shades[label] + rng.integers(-25, 26, (height, width, 1))
    return image.clip(0, 255).astype(np.uint8), label


def outlined(label):
    """The label with 255 along the boundaries of its areas."""
    edge = np.zeros(label.shape, bool)
    edge[1:] |= label[1:] != label[:-1]
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    return np.where(edge, 255, label).astype(np.uint8)


def painted(label, palette, ignored=(0, 0, 0)):
    """The label in colours, class by class."""
    colors = np.empty((*label.shape, 3), np.uint8)
    colors[...] = ignored
    for index, color in enumerate(palette):
        colors[label == index] = color
    return colors


def png(values):
    """Content of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", compress_level=1)
    return file.getvalue()


def tif(values, *, georeferenced=False, colormap=None, **options):
    """Content of a TIFF file, with or without coordinates, with or without a palette."""
    height, width, bands = values.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": bands, **options}
    if georeferenced:
        profile |= {
            "crs": "EPSG:32633",
            "transform": rasterio.transform.from_origin(3e5, 5e6, 1, 1),
        }
    with rasterio.MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with memory.open(dtype=values.dtype, **profile) as raster:
            raster.write(np.moveaxis(values, -1, 0))
            if colormap:
                raster.write_colormap(1, colormap)
        return bytes(memory.getbuffer())


def zipped(members):
    """Content of a zip file of `{name: content}`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def write(folder, files):
    """Writes `{name: content}` below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
