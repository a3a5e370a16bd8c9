"""Models with their trained weights: from the zoo by name, or from the folder of a training."""

import logging
import pathlib

from keras_deeplab.checkpoints.loading import load_weights
from keras_deeplab.data.class_table import parse_class_table
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.zoo.builder import build
from keras_deeplab.zoo.manifest import info, read_manifest
from keras_deeplab.zoo.run_folders import RUN_RECORD, read_run
from keras_deeplab.zoo.trained_weights import trained_weights

logger = logging.getLogger("keras_deeplab")


def load(name, *, weights=None, num_classes=None, **build_options):
    """A zoo entry's model with its trained weights.

    Bundled weights come with the package. Published ones are fetched at the first call, checked,
    converted and cached; see `keras_deeplab.downloads.fetch.fetch` for mirrors and offline use.

    Args:
        name: A name of `list_models()`.
        weights: A local `.weights.h5`, `.keras` or `.pth` file instead of the entry's weights.
        num_classes: Another number of classes; the classifiers then start fresh, and a log
            message says so.
        **build_options: Options of `build`. Without `aux_head=True` a plain tensor comes out.

    Returns:
        A functional `keras.Model`, see `build`.

    Raises:
        ValueError: For an unknown name or an invalid option.
        CheckpointError: When the weights are missing, altered (SHA-256), not public or do not fit.
        DownloadError: When a file cannot be had or stored.
    """
    entry = info(name)
    path = trained_weights(name, entry) if weights is None else weights
    trained = len(entry["classes"])
    model = build(entry["variant"], trained, weights=path, **build_options)
    if num_classes is None or num_classes == trained:
        return model
    return _with_fresh_classifiers(model, entry["variant"], num_classes, build_options)


def _with_fresh_classifiers(trained, variant, num_classes, build_options):
    model = build(variant, num_classes, **build_options)
    fresh = []
    for layer in model.layers:
        if layer.name.endswith("conv_seg"):
            fresh.append(layer.name.replace("-", "."))
        elif layer.weights:
            layer.set_weights(trained.get_layer(layer.name).get_weights())
    logger.warning(
        "%d classes instead of %d: %s start from random weights and must be trained.",
        num_classes,
        trained.get_layer("decode_head-conv_seg").filters,
        " and ".join(fresh),
    )
    return model


def open_model(name_or_run):
    """A model and its classes, from a zoo name or the folder of a training run.

    Args:
        name_or_run: A name of `list_models()`, or a folder `keras-deeplab train` wrote; of that
            the best weights are taken; where nothing was validated, the averaged or last ones.

    Returns:
        `(model, class table)`.

    Raises:
        ValueError: When it is neither; suggests the nearest zoo names.
    """
    if not _is_run(name_or_run):
        return load(str(name_or_run)), parse_class_table(info(str(name_or_run)))
    folder = pathlib.Path(name_or_run)
    record = read_run(folder)
    table = parse_class_table(record, where=str(folder / RUN_RECORD))
    channels = image_format(folder).channels
    model = build(record["variant"], len(table), input_shape=(None, None, channels))
    weights = (folder / f"{name}.weights.h5" for name in ("best", "averaged"))
    kept = next((path for path in weights if path.exists()), folder / "last.weights.h5")
    load_weights(model, kept)
    return model, table


def image_format(name_or_run):
    """`ImageFormat` of the files that the model of `open_model` was trained on."""
    if not _is_run(name_or_run):
        return ImageFormat()
    record = read_run(name_or_run)
    return ImageFormat(record.get("bands"), record.get("value_range"))


def _is_run(name_or_run):
    return name_or_run not in read_manifest() and pathlib.Path(name_or_run).is_dir()
