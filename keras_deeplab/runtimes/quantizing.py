"""int8 by post-training quantisation: OpenVINO files of one image size, quantised by NNCF."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import math
import pathlib
import typing
from collections.abc import Callable

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath, replace_together
from keras_deeplab._internal.signal_stack import same_signal_stack
from keras_deeplab.models.inputs import MIN_SIZE, check_fixed_size
from keras_deeplab.runtimes import openvino_runtime
from keras_deeplab.runtimes.calibration import IN_PYTHON
from keras_deeplab.runtimes.export_record import Agreement, ExportedFile, Quantization
from keras_deeplab.runtimes.exported import exported_predictor
from keras_deeplab.runtimes.formats import FORMATS, check_path
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.runtimes.registry import INT8, get_runtime
from keras_deeplab.runtimes.source import ModelSource
from keras_deeplab.runtimes.tensor_form import TensorForm
from keras_deeplab.zoo.stac_exported import item_path, write_exported_item

MOST_LOSS = 0.005  # of the score, without `accept_loss`
COMPARED = 16  # of the calibration crops, at most, in float32 and int8

Score = Callable[[Predictor], float]


def quantize(
    source: ModelSource,
    calibration: np.ndarray,
    tile: int,
    output: StrPath,
    score: Score | None = None,
    accept_loss: bool = False,
    *,
    images: str = IN_PYTHON,
) -> ExportedFile:
    """Writes a model as OpenVINO IR that computes in int8.

    Weights and activations of the convolutions are rounded to 8 bits. NNCF finds the ranges of the
    activations on the calibration crops; no training takes place.

    Args:
        source: The model, see `find_source`.
        calibration: Crops `(N, tile, tile, C)` of images of the kind that the model is for, as the
            model takes them; no labels.
        tile: Height and width of the images that the file will take. It is fixed: NNCF quantises
            resized features with ranges of their size.
        output: The `.xml` file; its weights go to a `.bin` file next to it, and its STAC item to
            `FILE.xml.stac.json`.
        score: Function from a `Predictor` to a score 0..1, higher is better, for example its mIoU
            on labelled images. It is called for the model in float32 and in int8.
        accept_loss: Whether to write the file even if the score drops by more than 0.005.
        images: What the calibration crops are of, for the record in the file.

    Returns:
        `ExportedFile`. Its agreement is that with float32 on up to 16 of the calibration crops. It
        is not an accuracy: the crops have no labels.

    Raises:
        ValueError: When NNCF is not installed, when crops or tile do not fit the model, or when the
            score drops by more than 0.005. Then nothing is written.
        OSError: When the file cannot be written.
    """
    from keras_deeplab.runtimes.keras_runtime import single_output

    output = pathlib.Path(output)
    check_quantizing(source, tile, output)
    shape = (tile, tile, source.network.channels)
    if calibration.ndim != 4 or calibration.shape[1:] != shape or not len(calibration):
        raise InputError(
            f"Expected calibration crops of shape (count, {', '.join(map(str, shape))}), got "
            f"{calibration.shape}."
        )
    network, item = source.network, item_path(output)
    described = network.metadata is not None
    files = [*([item] if described else []), *FORMATS["openvino"].files(output)]
    with replace_together(files, stale=[] if described else [item]) as folder:
        float32, int8 = folder / ".float32.xml", folder / ".int8.xml"
        keras_model = single_output(source.float32_model, network.metadata)
        openvino_runtime.convert(keras_model, None, float32, network.to_json())
        model = _quantized(float32, calibration)
        openvino_runtime.save(model, int8)
        openvino = get_runtime("openvino")
        first = exported_predictor(float32, openvino, "float32")
        second = exported_predictor(int8, openvino, INT8)
        agreement = _agreement(first, second, calibration)
        result = Quantization(images, len(calibration), importlib.metadata.version("nncf"))
        if score is not None:
            before, after = float(score(first)), float(score(second))
            result = dataclasses.replace(result, float32=before, int8=after)
        _check_loss(result, accept_loss)
        form = TensorForm() if network.normalises else TensorForm(value_range=None)
        exported = ExportedFile(
            output, "openvino", network, form, (tile, tile), agreement, quantization=result
        )
        model.set_rt_info(exported.to_record(), openvino_runtime.RECORD)
        openvino_runtime.save(model, folder / output.name)
        if network.metadata is not None:
            count = keras_model.count_params()
            file = folder / output.name
            write_exported_item(network.metadata, file, exported.to_json(), parameters=count)
    return exported


def _check_loss(result: Quantization, accept_loss: bool) -> None:
    if math.isnan(result.loss):
        raise InputError("The labelled images give no score: none of their pixels has a class.")
    if result.loss > MOST_LOSS and not accept_loss:
        raise InputError(
            f"The score drops by {100 * result.loss:.2f} points in int8, by more than "
            f"{100 * MOST_LOSS:g}: nothing is written. Calibrate with more images, or take it "
            "all the same with accept_loss=True or --accept-loss."
        )


def check_quantizing(source: ModelSource, tile: int, output: StrPath) -> None:
    """Raises a `ValueError` when a model cannot be quantised like this, before any work."""
    get_runtime("openvino")
    if importlib.util.find_spec("nncf") is None:
        raise InputError('int8 needs NNCF: pip install "keras-deeplab[int8]".')
    if tile < MIN_SIZE:
        raise InputError(f"tile must be {MIN_SIZE} pixels or more, got {tile}.")
    check_fixed_size(source.network.name, source.size, (tile, tile))
    if not FORMATS["openvino"].has_suffix(pathlib.Path(output)):
        raise InputError(f"{output}: the name of an int8 file must end in .xml, of OpenVINO.")
    check_path(FORMATS["openvino"], pathlib.Path(output))


@same_signal_stack()
def _quantized(path: pathlib.Path, calibration: np.ndarray) -> typing.Any:
    nncf = openvino_runtime.import_nncf()
    model = openvino_runtime.import_openvino().Core().read_model(path)
    model.reshape([-1, *calibration.shape[1:]])
    crops = nncf.Dataset(calibration, lambda crop: crop[np.newaxis].astype(np.float32))
    return nncf.quantize(
        model,
        crops,
        preset=nncf.QuantizationPreset.MIXED,  # ranges of activations may be asymmetric
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(calibration),
    )


def _agreement(first: Predictor, second: Predictor, calibration: np.ndarray) -> Agreement:
    """How int8 compares with float32, each as `compile_for_inference` runs it."""
    equal, pixels, difference = 0, 0, 0.0
    for crop in calibration[:: -(-len(calibration) // COMPARED), np.newaxis]:
        expected, found = first(crop), second(crop)
        same = expected.argmax(-1) == found.argmax(-1)
        equal, pixels = equal + int(same.sum()), pixels + same.size
        difference = max(difference, float(np.abs(found - expected).max()))
    return Agreement(equal / pixels, difference, pixels, "calibration crops")
