"""What decides on the map of a scene in a folder, without predicting it."""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
import typing
from collections.abc import Mapping

from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.prediction.raster.folder import Examined
from keras_deeplab.prediction.raster.opening import open_checked
from keras_deeplab.prediction.raster.run_key import Key, model_key, raster_key
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.zoo.metadata import ModelMetadata

# Options that do not decide on the map, or whose files the key has a hash of.
ELSEWHERE = ("aoi", "aoi_layer", "workers", "resume")


def examine_scene(
    scene: str, target: pathlib.Path, metadata: ModelMetadata, options: Mapping[str, typing.Any]
) -> Examined:
    """Opens a scene that `predict_raster` is to predict, and tells what decides on its map.

    Args:
        scene: The raster.
        target: File of its map.
        metadata: `ModelMetadata` of the model.
        options: Options of `predict_raster`.

    Raises:
        ValueError: When the scene cannot be predicted.
        OutsideAreaError: When it has no pixel in the area of interest.
    """
    form = ImageFormat(options["bands"], options["value_range"])
    with open_checked(
        scene,
        (target,),
        metadata,
        form,
        nodata=options["nodata"],
        aoi=options["aoi"],
        aoi_layer=options["aoi_layer"],
    ) as opened:
        rasters = [raster_key(raster) for raster in opened.rasters]
        grid, area = opened.grid, opened.area
        pixels = math.prod((grid.height, grid.width)) if area is None else area.pixels
    for raster in rasters:
        if raster["files"]:  # whose paths count: the name may be a relative one
            del raster["name"]
    key: Key = {
        "input": _sha256(rasters),
        "options": {name: value for name, value in options.items() if name not in ELSEWHERE},
    }
    if area is not None:
        key["area"] = area.sha256
    return Examined(pixels / 1e6, json.loads(json.dumps(key, default=str)))


def hash_model(predictor: Predictor) -> str:
    """Hash of what a predictor computes with: network, weights, runtime, precision, versions."""
    return _sha256(model_key(predictor))


def _sha256(value: typing.Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
