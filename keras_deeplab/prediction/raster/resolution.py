"""At which ground resolution a scene is predicted."""

from __future__ import annotations

import logging

from keras_deeplab._internal.errors import InputError

MODEL, NATIVE = "model", "native"
NEAR = 1.25  # ratio of two resolutions that a network does not mind
LARGEST = 4.0  # enlargement beyond which details would be invented

logger = logging.getLogger("keras_deeplab")


def choose_scale(scene_m: float | None, model_m: float | None, resolution: str | float) -> float:
    """Pixels of the scene in a pixel of the prediction, along each axis.

    Args:
        scene_m: Metres on the ground per pixel of the scene; `None` where unknown.
        model_m: Those of the images that the model was trained on; `None` where unknown.
        resolution: `"model"`, `"native"`, or metres per pixel.

    Returns:
        1 predicts the scene as it is. A log message says so where something is unknown, and names
        another resolution that the scene is predicted at.

    Raises:
        ValueError: When the resolution is none of these, or when the scene is so much coarser than
            the model that it would be enlarged more than four times.
    """
    if resolution == NATIVE:
        return 1.0
    if resolution == MODEL:
        if scene_m is None or model_m is None:
            what = "the scene" if scene_m is None else "the model's training images"
            logger.warning(
                "The ground resolution of %s is unknown: the scene is predicted as it is.", what
            )
            return 1.0
        wanted = model_m
    else:
        wanted = _metres(resolution)
        if scene_m is None:
            raise InputError(
                f"resolution={resolution} needs a georeferenced scene. Use resolution='native'."
            )
    scale = wanted / scene_m
    if resolution == MODEL and 1 / NEAR <= scale <= NEAR:
        return 1.0
    if resolution == MODEL and scale < 1 / LARGEST:
        raise InputError(
            f"The scene has {scene_m:.3g} m per pixel, the model was trained at {wanted:.3g} m: it "
            f"would be enlarged {1 / scale:.1f} times. Take a finer scene, or decide with "
            "--resolution native or --resolution METRES."
        )
    logger.warning(
        "The scene has %.3g m per pixel: it is predicted at %.3g m, and the map has the pixels of "
        "the scene.",
        scene_m,
        wanted,
    )
    return scale


def _metres(resolution: str | float) -> float:
    try:
        metres = float(resolution)
    except (TypeError, ValueError):
        metres = 0.0
    if not 0 < metres < float("inf"):
        raise InputError(
            f"resolution must be 'model', 'native' or metres per pixel, got {resolution!r}."
        )
    return metres
