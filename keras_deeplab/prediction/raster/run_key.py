"""The key of a run: all that decides what its map is. Only a run of the same key is continued."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import typing
import uuid
from collections.abc import Iterator, Mapping

import numpy as np

from keras_deeplab import __version__
from keras_deeplab.data.files.rasters import palette
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.runtimes.registry import RUNTIMES, package_version

if typing.TYPE_CHECKING:
    from rasterio import DatasetReader

    from keras_deeplab.prediction.raster.scene import Scene

HEAD = 65_536  # bytes of a file: its header, and what many formats put next to it
SAMPLES = 16  # places in a file, besides head and end
SAMPLE = 65_536  # bytes of each
SHOWN = 60  # characters of a value in a message

Key = dict[str, typing.Any]  # JSON-serialisable


def run_key(
    predictor: Predictor, scene: Scene, options: Mapping[str, typing.Any], threads: int
) -> Key:
    """The key of a run of `predict_raster`.

    Args:
        predictor: `Predictor`.
        scene: The open scene.
        options: What else decides on the map: JSON-serialisable, or paths.
        threads: Threads of each process.

    Returns:
        JSON-serialisable dict. A predictor that does not know the SHA-256 of its weights has
        another key each time.
    """
    return {
        "model": model_key(predictor),
        "input": [raster_key(raster) for raster in scene.rasters],
        "area_sha256": None if scene.area is None else scene.area.sha256,
        "options": _as_json(options),
        "threads": threads,
    }


def model_key(predictor: Predictor) -> Key:
    """What a predictor computes with: network, weights, runtime, precision, versions."""
    import rasterio

    digest, runtime = predictor.weights_sha256, RUNTIMES.get(predictor.runtime)
    versions = {} if runtime is None else dict(runtime.versions)
    if predictor.runtime == "keras":
        backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
        versions[backend] = package_version(backend)
    versions |= {"keras_deeplab": __version__, "numpy": np.__version__}
    versions |= {"rasterio": rasterio.__version__, "gdal": rasterio.__gdal_version__}
    metadata = predictor.metadata
    return {
        "name": predictor.network.name,
        "weights_sha256": digest() if digest is not None else f"unknown, {uuid.uuid4()}",
        "metadata": None if metadata is None else _as_json(metadata.to_json()),
        "runtime": predictor.runtime,
        "precision": predictor.precision,
        "versions": versions,
    }


def raster_key(raster: DatasetReader) -> Key:
    """What identifies a raster: its files, with those that a VRT refers to; else some pixels.

    Pixels are read of rasters without files of their own, such as addresses. Of `.aux.xml` counts
    what GDAL tells of the raster: viewers such as QGIS add statistics to it.
    """
    files = sorted(path for path in map(pathlib.Path, raster.files) if path.is_file())
    key: Key = {
        "name": raster.name,
        "gdal": _description(raster),
        "files": [file_key(path) for path in files if not path.name.endswith(".aux.xml")],
    }
    if len(files) < len(raster.files) or not files:
        key["pixels"] = _pixels_key(raster)
    return key


def _description(raster: DatasetReader) -> Key:
    """What GDAL tells of the place and the pixels of a raster, wherever it is stored."""
    gcps, gcps_crs = raster.gcps
    colors = palette(raster)
    tags = {name: text for name, text in raster.tags().items() if name[:11] != "STATISTICS_"}
    description = {
        **raster.profile,
        "transform": list(raster.transform),
        "gcps": [(point.row, point.col, point.x, point.y, point.z) for point in gcps],
        "gcps_crs": gcps_crs,
        "nodata": raster.nodatavals,
        "masks": [[flag.name for flag in flags] for flags in raster.mask_flag_enums],
        "colors": [color.name for color in raster.colorinterp],
        "palette_sha256": None if colors is None else hashlib.sha256(colors.tobytes()).hexdigest(),
        "tags": tags,
    }
    return _as_json(description)


def file_key(path: pathlib.Path) -> Key:
    """Path, size, time, and hashes of the head and of samples of a file."""
    status = path.stat()
    head, samples = hashlib.sha256(), hashlib.sha256()
    with open(path, "rb") as file:
        head.update(file.read(HEAD))
        last = max(status.st_size - SAMPLE, 0)
        for start in np.linspace(0, last, SAMPLES + 2).astype(int).tolist():
            file.seek(start)
            samples.update(file.read(SAMPLE))
    return {
        "path": str(path.resolve()),
        "size": status.st_size,
        "modified_ns": status.st_mtime_ns,
        "head_sha256": head.hexdigest(),
        "samples_sha256": samples.hexdigest(),
    }


def _pixels_key(raster: DatasetReader) -> Key:
    """A hash of a block at its start, centre and end.

    The sizes of the blocks of a TIFF are a fingerprint of its content that costs no reading.
    """
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    height, width = (min(side, 512) for side in raster.block_shapes[0])
    pixels = hashlib.sha256()
    for share in (0.0, 0.5, 1.0):
        row, column = (
            int((length - 1) * share) // side
            for length, side in zip(raster.shape, (height, width), strict=True)
        )
        try:
            window = Window(column * width, row * height, width, height)
            pixels.update(raster.read(1, window=window).tobytes())
        except RasterioError as error:  # damaged there: prediction stops, or leaves it out
            pixels.update(type(error).__name__.encode())
    return {
        "pixels_sha256": pixels.hexdigest(),
        "block_bytes": [
            raster.get_tag_item(f"BLOCK_SIZE_{index}_0", "TIFF", bidx=1) for index in range(SAMPLES)
        ],
    }


def changed_fields(old: Key, new: Key) -> list[str]:
    """The fields in which two keys differ, with both values where these are short.

    Example:

    >>> changed_fields({"options": {"window": 512}}, {"options": {"window": 256}})
    ['options.window (512 -> 256)']
    """
    before, after = dict(_flat(old)), dict(_flat(new))
    changes = []
    for field in {**after, **before}:  # in the order of the new key
        values = [_as_text(known[field]) if field in known else "none" for known in (before, after)]
        if values[0] != values[1]:
            short = max(map(len, values)) <= SHOWN
            changes.append(f"{field} ({' -> '.join(values)})" if short else field)
    return changes


def _flat(value: typing.Any, name: str = "") -> Iterator[tuple[str, typing.Any]]:
    """The leaves of nested dicts and lists by dotted names."""
    if isinstance(value, dict) and value:
        items: typing.Iterable[tuple[typing.Any, typing.Any]] = value.items()
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        items = enumerate(value)
    else:
        yield name, value
        return
    for key, item in items:
        yield from _flat(item, f"{name}.{key}" if name else str(key))


def _as_text(value: typing.Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)  # NaN equals NaN


def _as_json(value: typing.Any) -> typing.Any:
    """The value as it is read from a JSON file: tuples are lists, paths text."""
    return json.loads(json.dumps(value, default=str))
