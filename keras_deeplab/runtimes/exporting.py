"""`keras_deeplab.export`: a model as a file for other programs, checked against Keras."""

from __future__ import annotations

import pathlib
import typing

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath, replace_together
from keras_deeplab.data.files.pairs import Folders
from keras_deeplab.models.inputs import MIN_SIZE
from keras_deeplab.runtimes.calibration import find_calibration
from keras_deeplab.runtimes.export_check import compare
from keras_deeplab.runtimes.export_record import ExportedFile
from keras_deeplab.runtimes.formats import Format, find_format
from keras_deeplab.runtimes.qgis_properties import check_network, qgis_properties, warn_of_gaps
from keras_deeplab.runtimes.quantizing import Score, check_quantizing, quantize
from keras_deeplab.runtimes.registry import INT8
from keras_deeplab.runtimes.source import ModelSource, find_source
from keras_deeplab.runtimes.tensor_form import CHANNELS_FIRST, TensorForm
from keras_deeplab.zoo.stac_exported import item_path, write_exported_item

if typing.TYPE_CHECKING:
    import keras

Size = tuple[int, int]


def export(
    model: keras.Model | StrPath,
    path: StrPath,
    format: str | None = None,
    tile: int = 512,
    dynamic: bool = False,
    raw: bool = False,
    precision: str = "float32",
    calibrate: Folders | np.ndarray | None = None,
    score: Score | None = None,
    accept_loss: bool = False,
) -> ExportedFile:
    """Writes a model as a file for another program, and checks it there against Keras.

    The file computes float32, unless it is quantised. It holds the metadata of the model, its
    form, and the result of the check: its runtime predicts the check image of the model, and the
    classes of 99.9 % of the pixels must be those of Keras. The file appears when it has passed, or
    not at all. Next to it is `FILE.stac.json`, which describes it to STAC catalogues.

    Args:
        model: Zoo name, folder of a training run, `.keras` file, or `keras.Model` of logits. Of a
            model with an auxiliary head the main logits are exported.
        path: File to write. An existing one is replaced.
        format: `"onnx"` (`.onnx`, extra `[onnx]`), `"openvino"` (`.xml`, with a `.bin` file next to
            it), `"litert"` (`.tflite`, extra `[litert]`), `"keras"` (`.keras`) or
            `"tf_saved_model"` (a folder). `None` takes it from the suffix of `path`.
        tile: Height and width in pixels of the images that the file takes. `.keras` files take
            every size that the model takes.
        dynamic: Leave height and width open.
        raw: Write ONNX in the form of the other formats: NHWC, 0..255, logits. By default it is
            NCHW, 0..1, probabilities, with the metadata that QGIS plugins read.
        precision: `"int8"` quantises an OpenVINO file (extra `[int8]`): it is faster, and has
            slightly other classes. It is compared with float32 on the calibration crops, and any
            share of equal classes will do. The arguments below are for it alone.
        calibrate: Folder of images of the kind that the model is for, or several folders; no masks
            are needed. Or crops `(N, tile, tile, C)` as the model takes them. By default the check
            image of the model.
        score: Function from a `Predictor` to a score 0..1, higher is better, for example its mIoU
            on labelled images. It is called for the model in float32 and in int8.
        accept_loss: Whether to write the int8 file even if the score drops by more than 0.005.

    Returns:
        `ExportedFile`: format, form, size, agreement with Keras. Printed, it is the summary of
        `keras-deeplab export`.

    Raises:
        ValueError: For an unknown model or format, options that do not fit, a runtime that is not
            installed, a file that does not give the classes of Keras, and a score that drops.
        OSError: When the file cannot be written.

    Example:

    >>> kd.export("r18_dubai", "dubai.onnx").size
    (512, 512)
    """
    from keras_deeplab.runtimes.keras_runtime import single_output

    path = pathlib.Path(path)
    kind = find_format(format, path)
    form = CHANNELS_FIRST if kind.name == "onnx" and not raw else TensorForm()
    _check_options(kind, tile, raw)
    source = find_source(model)
    if precision != "float32":
        _check_int8(precision, kind, dynamic)
        check_quantizing(source, tile, path)
        crops, images = find_calibration(source, calibrate, tile)
        return quantize(source, crops, tile, path, score, accept_loss, images=images)
    if calibrate is not None or score is not None or accept_loss:
        raise InputError("calibrate, score and accept_loss are for precision='int8'.")
    network = source.network
    if form == CHANNELS_FIRST:
        check_network(network)
        warn_of_gaps(network, None if dynamic else tile)
    elif not network.normalises:
        form = TensorForm(value_range=None)
    _check_size(source, tile, dynamic)
    size = None if dynamic or (kind.name == "keras" and source.size[0] is None) else (tile, tile)

    keras_model = single_output(source.float32_model, network.metadata)
    options = {"form": form} if form == CHANNELS_FIRST else {}
    item, described = item_path(path), network.metadata is not None
    try:
        files = [*([item] if described else []), *kind.files(path)]
        with replace_together(files, stale=[] if described else [item]) as folder:
            file = folder / path.name
            kind.module.convert(keras_model, size, file, **options)
            agreement = compare(source, file, kind, form, _sizes(tile, size))
            exported = ExportedFile(path, kind.name, network, form, size, agreement)
            _write_record(exported, kind, file)
            if network.metadata is not None:
                count = keras_model.count_params()
                write_exported_item(network.metadata, file, exported.to_json(), parameters=count)
    except OSError as error:
        raise OSError(f"{path} is not written: {error}") from error
    return exported


def _check_options(kind: Format, tile: int, raw: bool) -> None:
    if tile < MIN_SIZE:
        raise InputError(f"tile must be {MIN_SIZE} pixels or more, got {tile}.")
    if raw and kind.name != "onnx":
        raise InputError(
            f"raw (--raw) is for onnx, got format {kind.name}, which always takes NHWC and gives "
            "logits."
        )


def _check_int8(precision: str, kind: Format, dynamic: bool) -> None:
    if precision != INT8:
        raise InputError(f"precision must be 'float32' or {INT8!r}, got {precision!r}.")
    if kind.name != "openvino" or dynamic:
        raise InputError(
            f"Precision int8 is for format openvino with a fixed tile, got format {kind.name}"
            f"{', dynamic' if dynamic else ''}."
        )


def _check_size(source: ModelSource, tile: int, dynamic: bool) -> None:
    """Raises a `ValueError` when a model that was built for one size does not take the tile."""
    fixed = source.size
    if fixed == (None, None):
        return
    name = source.network.name
    if dynamic:
        raise InputError(f"{name} was built for images of {fixed}: leave out dynamic (--dynamic).")
    if any(side not in (None, tile) for side in fixed):
        square = fixed[0] in (None, fixed[1]) or fixed[1] is None
        side = fixed[0] or fixed[1]
        hint = f"Export it with tile={side} or --tile {side}." if square else "It is not square."
        raise InputError(f"{name} takes only images of {fixed}, not of tile {tile}. {hint}")


def _sizes(tile: int, size: Size | None) -> list[Size]:
    """The sizes to check a file on: an open one has to work on another size, not square, too."""
    return [size] if size else [(tile, tile), (max(MIN_SIZE, tile // 2), tile + MIN_SIZE)]


def _write_record(exported: ExportedFile, kind: Format, file: pathlib.Path) -> None:
    options = {}
    if exported.form == CHANNELS_FIRST:
        tile = None if exported.size is None else exported.size[0]
        options["properties"] = qgis_properties(exported.network, tile)
    record = exported.to_record()
    kind.module.write_record(file, record, **options)
    if kind.module.read_record(file) != record:  # some writers say nothing on a full disk
        raise OSError(f"{file.name} is not complete.")
