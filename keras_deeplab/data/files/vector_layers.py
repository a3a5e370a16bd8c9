"""Layers of vector files: which one, its fields, the encoding of its text."""

from __future__ import annotations

import contextlib
import pathlib
import typing
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.files.reprojection import Bounds

if typing.TYPE_CHECKING:
    import pyproj


def read_layer(
    path: StrPath, layer: str | None, fields: Sequence[str]
) -> tuple[str | None, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """CRS, numbers, geometries as WKB and fields of a layer."""
    layer = _layer(path, layer)
    if _lacks_encoding(pathlib.Path(path)):  # OGR reads it as Latin-1
        with contextlib.suppress(UnicodeDecodeError):
            return _read_as(path, layer, fields, "UTF-8")
    return _read_as(path, layer, fields, None)


def _lacks_encoding(path: pathlib.Path) -> bool:
    """Whether a file is a Shapefile without the part that says the encoding of its text."""
    codes = (path.with_suffix(suffix) for suffix in (".cpg", ".CPG"))
    return path.suffix.lower() == ".shp" and path.exists() and not any(p.exists() for p in codes)


def _read_as(
    path: StrPath, layer: str, fields: Sequence[str], encoding: str | None
) -> tuple[str | None, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    import pyogrio

    known = list(pyogrio.read_info(path, layer=layer, encoding=encoding)["fields"])
    for name in fields:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"{path}: there is no field {name!r}. Fields: {listed}.")
    meta, numbers, geometries, values = pyogrio.raw.read(
        path,
        layer=layer,
        columns=list(fields),
        force_2d=True,
        return_fids=True,
        encoding=encoding,
    )
    return meta["crs"], numbers, geometries, dict(zip(meta["fields"], values, strict=True))


def extent(path: StrPath, layer: str | None = None) -> tuple[pyproj.CRS, Bounds]:
    """CRS of a layer with a CRS, and left, bottom, right and top of its geometries."""
    import pyogrio
    import pyproj

    info = pyogrio.read_info(path, layer=_layer(path, layer), force_total_bounds=True)
    return pyproj.CRS.from_user_input(info["crs"]), info["total_bounds"]


def _layer(path: StrPath, layer: str | None) -> str:
    """The name of the layer to read; only those with geometries count."""
    import pyogrio

    spatial = {name: kind for name, kind in pyogrio.list_layers(path) if kind is not None}
    listed = ", ".join(f"{name} ({kind})" for name, kind in spatial.items()) or "none"
    if layer is not None:
        if layer not in spatial:
            raise InputError(f"{path}: there is no layer {layer!r}. Layers: {listed}.")
        return layer
    if not spatial:
        raise InputError(f"{path} has no layer with geometries.")
    if len(spatial) > 1:
        raise InputError(
            f"{path} has several layers: {listed}. Name one (--layer, --val-layer, --aoi-layer); "
            "save that of a labelled or validation area to a file of its own."
        )
    return next(iter(spatial))
