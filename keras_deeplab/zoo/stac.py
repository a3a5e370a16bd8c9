"""A model as a STAC item with the Machine Learning Model (MLM) extension, for catalogues and tools.

Every field comes from the metadata of the model, its zoo entry or the description of an exported
file. What these do not know is left out.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping

from keras_deeplab.models.inputs import MIN_SIZE
from keras_deeplab.zoo.metadata import ModelMetadata

Item = dict[str, typing.Any]

STAC_VERSION = "1.1.0"
EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("mlm/v1.4.0", "classification/v2.0.0", "file/v2.1.0")
)
# STAC requires a time. The interval that the examples of MLM have for a model of no certain time.
ANY_TIME = {
    "datetime": None,
    "start_datetime": "1900-01-01T00:00:00Z",
    "end_datetime": "9999-12-31T23:59:59Z",
}
TASK = "semantic-segmentation"
SPATIAL = {"NHWC": ("height", "width", None), "NCHW": (None, "height", "width")}
NATIVE = {"layout": "NHWC", "value_range": (0, 255), "size": None, "output": "logits"}
OUTPUTS = {
    "logits": "Softmax over the class axis gives probabilities, argmax the class.",
    "probabilities": "Argmax over the class axis gives the class.",
}


class Artifact(typing.NamedTuple):
    """How a kind of model file is described."""

    artifact_type: str  # the function that writes such a file, as MLM wants it
    framework: str
    media_type: str | None


ARTIFACTS = {  # the exported formats, and the weights files of the zoo by suffix
    ".gz": Artifact("tf.compat.v1.train.Saver", "TensorFlow", "application/gzip"),
    ".h5": Artifact("tf.keras.Model.save_weights", "Keras", "application/x-hdf5"),
    ".pth": Artifact("torch.save", "PyTorch", "application/octet-stream; application=pytorch"),
    "keras": Artifact("tf.keras.Model.save", "Keras", "application/zip"),
    "litert": Artifact("tf.lite.TFLiteConverter.convert", "LiteRT", "application/octet-stream"),
    "onnx": Artifact("onnx.save", "ONNX", "application/octet-stream"),
    "openvino": Artifact("openvino.save_model", "OpenVINO", "application/xml"),
    "tf_saved_model": Artifact(  # a folder
        "tf.saved_model.export(format='tf_saved_model')", "TensorFlow", None
    ),
}


def stac_item(
    metadata: ModelMetadata,
    identifier: str,
    assets: Mapping[str, dict[str, typing.Any]],
    form: Mapping[str, typing.Any] = NATIVE,
    *,
    parameters: int | None = None,
) -> Item:
    """An item without links: what the model takes and gives.

    Args:
        metadata: `ModelMetadata` of the model.
        identifier: Id of the item.
        assets: Files by name, the model as `model`; empty where there is no file.
        form: Layout, value range, size and output, see `stac_exported.exported_item`.
        parameters: Number of weights of the network, where known.
    """
    # STAC allows bands only in an item whose assets have them, and MLM refers to those.
    bands = _bands(metadata) if assets else []
    described = {"bands": bands} if bands else {}
    facts = {
        "gsd": metadata.resolution_m,
        **licence_fields(metadata.licence),
        "mlm:total_parameters": parameters,
    }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": identifier,
        "geometry": None,  # where the model may be used is not known
        "properties": {
            **ANY_TIME,
            **{key: value for key, value in facts.items() if value is not None},
            **described,
            "mlm:name": metadata.name or metadata.variant,
            "mlm:architecture": "DeepLabV3+",
            "mlm:tasks": [TASK],
            "mlm:hyperparameters": _network(metadata),
            "mlm:input": [_input(metadata, form, [band["name"] for band in bands])],
            "mlm:output": [_output(metadata, form)],
        },
        "links": [],
        "assets": {
            key: {**asset, **described} if key == "model" else asset
            for key, asset in assets.items()
        },
    }


def model_asset(href: str, kind: str) -> dict[str, typing.Any]:
    """The asset of a model file of a kind of `ARTIFACTS`."""
    artifact = ARTIFACTS[kind]
    return {
        "href": href,
        **({"type": artifact.media_type} if artifact.media_type else {}),
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": artifact.artifact_type,
        "mlm:framework": artifact.framework,
    }


def file_fields(sha256: str | None, size: int | None) -> dict[str, typing.Any]:
    """Checksum and size of a file; a hash of which at most the start is known is left out."""
    # The prefix of a multihash: SHA-256 (0x12), 32 bytes (0x20).
    checksum = {"file:checksum": f"1220{sha256}"} if sha256 and len(sha256) == 64 else {}
    return {**checksum, **({} if size is None else {"file:size": size})}


def licence_fields(licence: str | None) -> dict[str, str]:
    """`license` as STAC has it: an SPDX name, or `other`, with the text in a field of ours."""
    if licence is None:
        return {}
    if re.fullmatch(r"[\w.+-]+", licence):
        return {"license": licence}
    return {"license": "other", "keras_deeplab:licence": licence}


def _bands(metadata: ModelMetadata) -> list[dict[str, str]]:
    """Name and meaning of each input channel; empty where nothing is known of them."""
    if metadata.bands is None:
        return [{"name": channel} for channel in metadata.channels or ()]
    names = metadata.channels or [f"band_{band}" for band in metadata.bands]
    return [
        {"name": name, "description": f"Band {band} of the image file, counted from 1"}
        for name, band in zip(names, metadata.bands, strict=True)
    ]


def _network(metadata: ModelMetadata) -> dict[str, typing.Any]:
    """What determines the network and the size of its training images."""
    network = {
        "variant": metadata.variant,
        "output_stride": metadata.output_stride,
        "multi_grid": metadata.multi_grid and list(metadata.multi_grid),
        "crop": metadata.tile_size,
    }
    return {key: value for key, value in network.items() if value is not None}


def _input(
    metadata: ModelMetadata, form: Mapping[str, typing.Any], bands: list[str]
) -> dict[str, typing.Any]:
    size = f"any size of {MIN_SIZE} pixels or more" if form["size"] is None else "this size only"
    images = f"{metadata.channel_names} images of {size}"
    if metadata.mean is None or form["value_range"] is None:
        values: dict[str, typing.Any] = {"description": f"{images}, normalised."}
    else:
        mean, std = (", ".join(map(str, row or ())) for row in (metadata.mean, metadata.std))
        low, high = form["value_range"]
        values = {
            "description": f"{images}, values {low:g} to {high:g}. The model itself subtracts the "
            f"mean ({mean}) and divides by the standard deviation ({std}), both on the scale 0 to "
            "255.",
            "value_scaling": _scaling(metadata.value_range or (0, 255), (low, high)),
        }
    shape = _structure(form, "channel", metadata.num_channels)
    return {"name": "image", "bands": bands, "input": shape, **values}


def _scaling(
    stored: tuple[float, float], wanted: tuple[float, float]
) -> list[dict[str, typing.Any]] | None:
    """How the values of image files become those of the tensor."""
    (low, high), (first, last) = stored, wanted
    if tuple(stored) == tuple(wanted):
        return None
    if (first, last) == (0, 1):
        return [{"type": "min-max", "minimum": low, "maximum": high}]
    share = f"clip((A - {low!r}) / ({high!r} - {low!r}), 0, 1)"
    expression = f"{share} * ({last!r} - {first!r}) + {first!r}"
    return [{"type": "processing", "format": "gdal-calc", "expression": expression}]


def _output(metadata: ModelMetadata, form: Mapping[str, typing.Any]) -> dict[str, typing.Any]:
    return {
        "name": form["output"],
        "tasks": [TASK],
        "description": OUTPUTS[form["output"]],
        "result": _structure(form, "class", len(metadata.classes)),
        "classification:classes": _classes(metadata),
    }


def _structure(
    form: Mapping[str, typing.Any], last_axis: str, channels: int
) -> dict[str, typing.Any]:
    """Shape, axes and type of a tensor; -1 for an axis of any length."""
    height, width = form["size"] or (-1, -1)
    lengths = {"batch": -1, "height": height, "width": width, last_axis: channels}
    order = ["batch", *(axis or last_axis for axis in SPATIAL[form["layout"]])]
    return {
        "shape": [lengths[axis] for axis in order],
        "dim_order": order,
        "data_type": "float32",
    }


def _classes(metadata: ModelMetadata) -> list[dict[str, typing.Any]]:
    """Classes with the names that STAC allows; `title` is the name in the class table."""
    table = metadata.classes
    classes: list[dict[str, typing.Any]] = []
    for index, name in enumerate(table.names):
        plain = re.sub(r"[^0-9A-Za-z_-]+", "_", name).strip("_") or f"class_{index}"
        classes.append({"value": index, "name": plain, "title": name, "description": name})
        if table.palette is not None:
            classes[-1]["color_hint"] = bytes(table.palette[index]).hex()
    return classes
