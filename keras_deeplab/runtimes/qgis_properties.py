"""The metadata that the QGIS plugin Deepness, and GeoDeep, read from an ONNX file."""

import json
import logging

from keras_deeplab._internal.errors import InputError
from keras_deeplab.runtimes.predictor import Network

OVERLAP = 25  # percent of a tile, as windows of `predict` have by default

logger = logging.getLogger("keras_deeplab")


def check_network(network: Network) -> None:
    """Raises a `ValueError` for a network that takes normalised images: readers give 0..1."""
    if not network.normalises:
        raise InputError(
            f"{network.name} takes normalised images, but an ONNX file for QGIS takes 0..1. Export "
            "with raw=True or --raw, or build the model with include_preprocessing=True."
        )


def qgis_properties(network: Network, tile: int | None) -> dict[str, str]:
    """Keys of the metadata of an ONNX file to values as JSON.

    Args:
        network: `Network`.
        tile: Side of the images; `None` where any will do.
    """
    metadata = network.metadata
    names = metadata.classes.names if metadata else [str(i) for i in range(network.classes)]
    values = {
        "model_type": "Segmentor",
        "class_names": {str(index): name for index, name in enumerate(names)},
        "tiles_overlap": OVERLAP,
        "standardization_mean": [0.0] * network.channels,  # the network normalises 0..1 itself
        "standardization_std": [1.0] * network.channels,
        "seg_thresh": 0.0,  # Deepness gives pixels whose probability is below it to class 0
        "seg_small_segment": 0,  # nothing is removed
    }
    if tile is not None:
        values |= {"tiles_size": tile, "tile_size": tile}  # as documented, and as read
    if metadata and metadata.resolution_m is not None:
        values["resolution"] = round(100 * metadata.resolution_m, 6)  # centimetres per pixel
    return {key: json.dumps(value) for key, value in values.items()}


def warn_of_gaps(network: Network, tile: int | None) -> None:
    """Warns of what a reader of the file has to be told, or does not get."""
    metadata = network.metadata
    if metadata is None or metadata.resolution_m is None:
        logger.warning(
            "The ground resolution of %s is unknown: set the resolution in Deepness yourself. "
            "GeoDeep takes 10 cm per pixel.",
            network.name,
        )
    if metadata is not None and metadata.value_range is not None:
        low, high = metadata.value_range
        logger.warning(
            "%s was trained on values %g to %g. Deepness and GeoDeep divide by 255: scale the "
            "raster to 8 bits from this range first.",
            network.name,
            low,
            high,
        )
    if tile is None:
        logger.warning(
            "Deepness and GeoDeep take files of a fixed size only: leave out dynamic (--dynamic)."
        )
