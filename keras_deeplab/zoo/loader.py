"""Models with their trained weights: from a zoo by name, or from the folder of a training run."""

import logging
import pathlib
import typing

import keras

from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import ClassTable, parse_class_table
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.zoo import manifest
from keras_deeplab.zoo.builder import build
from keras_deeplab.zoo.manifest import Zoo
from keras_deeplab.zoo.run_folders import read_run, run_classes, run_format, run_weights
from keras_deeplab.zoo.trained_weights import trained_weights

logger = logging.getLogger("keras_deeplab")


class Source(typing.NamedTuple):
    """What is known of a trained model before it is built.

    Attributes:
        variant: Name of the network.
        classes: `ClassTable`.
        form: `ImageFormat` of the files it was trained on.
        weights: Function that returns the path of its weights; it may download them.
    """

    variant: str
    classes: ClassTable
    form: ImageFormat
    weights: typing.Callable[[], pathlib.Path]


def find_model(name_or_run: StrPath, zoo: Zoo | None = None) -> Source:
    """The `Source` of a zoo name or of the folder of a training run.

    Args:
        name_or_run: A name of `list_models()`, or a folder that `keras-deeplab train` wrote.
        zoo: `Zoo` to look in; the package's by default.

    Raises:
        ValueError: When it is neither; suggests the nearest zoo names.
    """
    zoo = manifest.default_zoo() if zoo is None else zoo
    name = str(name_or_run)
    if name not in zoo.names() and pathlib.Path(name_or_run).is_dir():
        record = read_run(name_or_run)
        return Source(
            record["variant"],
            run_classes(record, name_or_run),
            run_format(record),
            lambda: run_weights(name_or_run),
        )
    entry = zoo.entry(name)
    return Source(
        entry["variant"],
        parse_class_table(entry, where=f"zoo entry {name}"),
        ImageFormat(),
        lambda: trained_weights(zoo, name),
    )


def load(
    name_or_run: StrPath,
    *,
    weights: StrPath | None = None,
    num_classes: int | None = None,
    zoo: Zoo | None = None,
    **build_options: typing.Any,
) -> keras.Model:
    """A model with its trained weights, from the zoo or from a training run.

    Bundled weights come with the package. Published ones are fetched at the first call, checked,
    converted and cached; see `keras_deeplab.downloads.fetch` for mirrors and offline use. Of a run
    the best weights are taken; where nothing was validated, the averaged or the last ones.

    Args:
        name_or_run: A name of `list_models()`, or a folder that `keras-deeplab train` wrote.
        weights: A local `.weights.h5`, `.keras` or `.pth` file instead of the trained weights.
        num_classes: Another number of classes; the classifiers then start fresh, and a log
            message says so.
        zoo: `Zoo` to look in; the package's by default.
        **build_options: Options of `build`. Without `aux_head=True` the model outputs a plain
            tensor. `input_shape` is that of the trained model by default.

    Returns:
        A functional `keras.Model`, see `build`.

    Raises:
        ValueError: For an unknown name or an invalid option.
        CheckpointError: When the weights are missing, altered (SHA-256), not public or do not fit.
        DownloadError: When a file cannot be fetched or stored.
    """
    source = find_model(name_or_run, zoo)
    build_options = {"input_shape": (None, None, source.form.channels), **build_options}
    trained = len(source.classes)
    path = source.weights() if weights is None else weights
    model = build(source.variant, trained, weights=path, **build_options)
    if num_classes is None or num_classes == trained:
        return model
    return _with_fresh_classifiers(model, source.variant, num_classes, build_options)


def _with_fresh_classifiers(
    trained: keras.Model, variant: str, num_classes: int, build_options: dict[str, typing.Any]
) -> keras.Model:
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
