"""An exported file as a STAC item next to it."""

from __future__ import annotations

import pathlib
import typing
from collections.abc import Mapping

from keras_deeplab._internal.files import StrPath, file_sha256, write_json
from keras_deeplab.zoo.metadata import ModelMetadata
from keras_deeplab.zoo.stac import Item, file_fields, model_asset, stac_item


def exported_item(
    metadata: ModelMetadata,
    path: StrPath,
    exported: Mapping[str, typing.Any],
    *,
    parameters: int | None = None,
) -> Item:
    """The STAC item of an exported file; its links are relative to the folder of the file.

    Args:
        metadata: `ModelMetadata` of the model.
        path: The file; the folder of a SavedModel; the `.xml` file of OpenVINO.
        exported: `format` (`"onnx"`, `"openvino"`, `"litert"`, `"tf_saved_model"` or `"keras"`);
            `layout` (`"NHWC"` or `"NCHW"`); `value_range` (lowest and highest value of 8-bit
            images, `None` for normalised images); `size` (height and width, `None` for any);
            `output` (`"logits"` or `"probabilities"`). Further keys are ignored.
        parameters: Number of weights of the network, where known.
    """
    path = pathlib.Path(path)
    assets = {"model": model_asset(path.name, exported["format"])}
    if path.is_file():
        assets["model"] |= file_fields(file_sha256(path), path.stat().st_size)
    if exported["format"] == "openvino":
        weights = path.with_suffix(".bin")
        assets["weights"] = {
            "href": weights.name,
            "type": "application/octet-stream",
            "roles": ["mlm:weights"],
            **file_fields(file_sha256(weights), weights.stat().st_size),
        }
    return stac_item(metadata, path.name, assets, exported, parameters=parameters)


def item_path(path: pathlib.Path) -> pathlib.Path:
    """Path of the item of an exported file."""
    return path.with_name(f"{path.name}.stac.json")


def write_exported_item(
    metadata: ModelMetadata,
    path: StrPath,
    exported: Mapping[str, typing.Any],
    *,
    parameters: int | None = None,
) -> pathlib.Path:
    """Writes the item of `exported_item` next to the file as `FILE.stac.json`; returns its path."""
    path = pathlib.Path(path)
    target = item_path(path)
    write_json(target, exported_item(metadata, path, exported, parameters=parameters))
    return target
