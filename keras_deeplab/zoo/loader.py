"""Models with their trained weights: from a zoo by name, or from the folder of a training run."""

import dataclasses
import typing

import keras

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints.loading import init_weights, load_weights
from keras_deeplab.zoo.builder import build
from keras_deeplab.zoo.finding import find_model
from keras_deeplab.zoo.manifest import Zoo
from keras_deeplab.zoo.metadata import ModelMetadata


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
        name_or_run: A name of `list_models()`, or a folder that `train` wrote.
        weights: A local `.weights.h5`, `.keras` or `.pth` file instead of the trained weights.
        num_classes: Another number of classes. The classifiers then start fresh.
        zoo: `Zoo` to look in; the package's by default.
        **build_options: Options of `build`. With `aux_head=True` an auxiliary head that the weights
            do not hold starts fresh; with another `input_shape` than the trained model's, the first
            convolution is adapted or starts fresh. A log message names what starts fresh.

    Returns:
        A functional `keras.Model`, see `build`, with its `metadata`. Without `aux_head=True` it
        outputs a plain tensor.

    Raises:
        ValueError: For an unknown name or an invalid option.
        CheckpointError: When the weights are missing, altered (SHA-256), not public or do not fit.
        DownloadError: When a file cannot be fetched or stored.
    """
    trained = find_model(name_or_run, zoo)
    metadata = trained.metadata
    trained_options = {
        "input_shape": (None, None, metadata.num_channels),
        "include_preprocessing": metadata.mean is not None,
        "output_stride": metadata.output_stride,
        "multi_grid": metadata.multi_grid,
    }
    classes = len(metadata.classes) if num_classes is None else num_classes
    model = build(metadata.variant, classes, **{**trained_options, **build_options})
    as_trained = (
        num_classes is None
        and not build_options.get("aux_head")
        and model.input_shape[-1] == metadata.num_channels
    )
    path = trained.weights() if weights is None else weights
    (load_weights if as_trained else init_weights)(model, path)
    model.metadata = describe_loaded(model, metadata)
    return model


def describe_loaded(model: keras.Model, trained: ModelMetadata) -> ModelMetadata | None:
    """Metadata of a model built with other options than the trained one whose weights it has."""
    built = model.metadata
    if built is None:  # of too many classes
        return None
    if len(built.classes) != len(trained.classes):
        trained = trained.with_classes(built.classes)
    if built.num_channels != trained.num_channels:
        inputs = {"channels": built.channels, "bands": built.bands, "value_range": None}
        trained = dataclasses.replace(trained, **inputs)
    network = {key: getattr(built, key) for key in ("mean", "std", "output_stride", "multi_grid")}
    return dataclasses.replace(trained, variant=built.variant, **network)
