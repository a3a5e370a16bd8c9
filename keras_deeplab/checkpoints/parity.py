"""Comparison of a converted network with the PyTorch reference, stage by stage."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.models.variants import stage_prefixes

NEAR_TIE = 1e-3  # rounding alone may swap logits that are closer than this
_OTHER_STAGES = {
    "maxpool": "backbone-maxpool",
    "aspp_image_pool": "decode_head-image_pool-1-activate",
    "aspp_0": "decode_head-aspp_modules-0-activate",
    "aspp_1": "decode_head-aspp_modules-1-pointwise_conv-activate",
    "aspp_2": "decode_head-aspp_modules-2-pointwise_conv-activate",
    "aspp_3": "decode_head-aspp_modules-3-pointwise_conv-activate",
    "aspp_bottleneck": "decode_head-bottleneck-activate",
    "c1_bottleneck": "decode_head-c1_bottleneck-activate",
    "sep_bottleneck_0": "decode_head-sep_bottleneck-0-pointwise_conv-activate",
    "sep_bottleneck_1": "decode_head-sep_bottleneck-1-pointwise_conv-activate",
    "logits": "decode_head-conv_seg",
    "aux_convs": "auxiliary_head-convs-0-activate",
    "aux_logits": "auxiliary_head-conv_seg",
}


def stage_layers(model: keras.Model) -> dict[str, str]:
    """Stage name -> name of the layer that outputs it, in the order of the network."""
    names = [layer.name for layer in model.layers]
    # Keras lists layers in the order of the graph: the last one of a stage outputs its features.
    backbone = {
        stage: [name for name in names if name.startswith(prefixes)][-1]
        for stage, prefixes in stage_prefixes(model.name).items()
    }
    stages = backbone | _OTHER_STAGES
    order = ("stem", "maxpool", *stages)
    return {stage: stages[stage] for stage in order if stages[stage] in names}


def stage_outputs(model: keras.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    """Stage name -> NumPy array `(N, h, w, channels)` for a normalised image batch.

    Args:
        model: Model of `keras_deeplab.build` with `include_preprocessing=False`.
        image: `(N, H, W, channels)` float32, normalised.
    """
    outputs = {stage: model.get_layer(name).output for stage, name in stage_layers(model).items()}
    values = keras.Model(model.input, outputs)(image, training=False)
    return {stage: keras.ops.convert_to_numpy(value) for stage, value in values.items()}


def parity_report(
    model: keras.Model, image: np.ndarray, reference: Mapping[str, np.ndarray] | None = None
) -> list[dict[str, Any]]:
    """One row per stage: statistics, and differences from the reference values if given.

    Args:
        model: Model of `keras_deeplab.build` with `include_preprocessing=False`.
        image: `(N, H, W, channels)` float32, normalised.
        reference: Stage names to the arrays `(N, h, w, channels)` of the reference.

    Returns:
        Dicts with `stage`, `shape`, `mean`, `std`, `abs_max`; with a reference value also
        `max_difference` and, for logits, `argmax_agreement` (fraction of positions with the same
        class, ignoring those where the two best logits differ by at most 1e-3).

    Raises:
        ValueError: When a reference stage is not in the model, or its shape differs.
    """
    outputs = stage_outputs(model, image)
    reference = reference or {}
    unknown = sorted(reference.keys() - outputs.keys())
    if unknown:
        raise InputError(f"Reference values of unknown stages {unknown}; known: {list(outputs)}.")
    return [_row(stage, value, reference.get(stage)) for stage, value in outputs.items()]


def _row(stage: str, value: np.ndarray, expected: np.ndarray | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "stage": stage,
        "shape": list(value.shape),
        "mean": float(value.mean()),
        "std": float(value.std()),
        "abs_max": float(np.abs(value).max()),
    }
    if expected is None:
        return row
    if expected.shape != value.shape:
        raise InputError(
            f"Shape of stage {stage}: {expected.shape} in the reference, {value.shape} in the "
            "model."
        )
    row["max_difference"] = float(np.abs(value - expected).max())
    if stage.endswith("logits"):
        row["argmax_agreement"] = _agreement(value, expected)
    return row


def _agreement(value: np.ndarray, expected: np.ndarray) -> float:
    if value.shape[-1] < 2:
        return 1.0
    best = np.sort(expected, axis=-1)[..., -2:]
    clear = best[..., 1] - best[..., 0] > NEAR_TIE
    same = value.argmax(-1) == expected.argmax(-1)
    return float(same[clear].mean()) if clear.any() else 1.0
