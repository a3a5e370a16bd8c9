"""Options of the commands that evaluate: labelled images, precision, protocol."""

from __future__ import annotations

import dataclasses
import typing

import click
from click.core import ParameterSource

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import (
    FILE,
    Decorator,
    Options,
    class_table,
    data_source,
    decorator,
    file_format,
    labelled_images,
    named_dataset,
)
from keras_deeplab.commands.polygon_options import FILES, HOW
from keras_deeplab.prediction.protocols import (
    PROTOCOLS,
    Protocol,
    get_protocol,
    named,
    parse_scales,
)
from keras_deeplab.runtimes.registry import AUTO, PRECISIONS, RUNTIMES

if typing.TYPE_CHECKING:
    import keras

    from keras_deeplab.data.class_table import ClassTable
    from keras_deeplab.data.source import DataSource
    from keras_deeplab.runtimes.predictor import Predictor
    from keras_deeplab.zoo.manifest import Zoo
    from keras_deeplab.zoo.metadata import ModelMetadata

SUBSET = "val"  # of a prepared dataset
PROTOCOL = click.Choice(list(PROTOCOLS))
IMAGE_OPTIONS = (  # parameter names of `evaluated_images`
    *("dataset", "data_dir", "images", "masks", "split", "pairs", "mask_suffix", "bands"),
    *("value_range", "classes", "mask_values", *FILES, *HOW),
)


def evaluated_images() -> Decorator:
    """Decorator: which labelled images to evaluate on, and how, for `open_evaluation`."""
    return decorator(
        named_dataset(),
        labelled_images(),
        file_format(),
        click.option(
            "--classes", type=FILE, help="Class table of the labels. Default: the model's."
        ),
    )


def runtime_options(precision: str) -> Decorator:
    """Decorator: what computes the model, for `compile_for_inference`.

    Args:
        precision: Default of `--precision`.
    """
    return decorator(
        click.option(
            "--runtime",
            type=click.Choice([AUTO, *RUNTIMES]),
            default=AUTO,
            show_default=True,
            help="What computes the model. auto: the faster of Keras and OpenVINO here, measured "
            "once.",
        ),
        click.option(
            "--precision",
            type=click.Choice([AUTO, *PRECISIONS]),
            default=precision,
            show_default=True,
            help="Precision of the computation. auto: the fastest that keeps the class of 99.5 % "
            "of the pixels of the model's check image. int8: quantised files alone, and their "
            "default.",
        ),
    )


def view_options() -> Decorator:
    """Decorator: how an image is predicted, for `make_protocol`."""
    return decorator(
        click.option("--flip", is_flag=True, help="Average with the horizontally flipped image."),
        click.option(
            "--scales",
            default="1",
            show_default=True,
            help="Scales to average, for example 0.5,1,1.5.",
        ),
        click.option(
            "--window", type=click.IntRange(32), help="Predict by windows of this side, in pixels."
        ),
        click.option(
            "--stride",
            type=click.IntRange(1),
            help="Step of the windows, in pixels. Default: three quarters of --window.",
        ),
    )


def protocol_options() -> Decorator:
    """Decorator: how the images of a dataset are predicted, for `make_protocol`."""
    return decorator(
        click.option(
            "--protocol",
            type=PROTOCOL,
            help="Named protocol; sets --flip, --scales, --window and --stride.",
        ),
        view_options(),
        click.option(
            "--test-scale",
            "test_size",
            nargs=2,
            type=click.IntRange(1),
            metavar="LONG SHORT",
            help="Resize each image to fit these sides first. Default: that of --dataset, or none.",
        ),
    )


def make_protocol(options: Options, source: DataSource) -> Protocol:
    """The `Protocol` of a command's options for a source."""
    test_size = options["test_size"]
    views = chosen_views(options, options["protocol"])
    if "protocol" in views:
        return protocol_for(views["protocol"], source, test_size)
    custom = Protocol(**views)
    if custom.window is None:
        test_size = test_size or published_test_size(source)
    return named(dataclasses.replace(custom, test_size=test_size))


def chosen_views(options: Options, protocol: str | None) -> dict[str, typing.Any]:
    """The arguments of `predict` that say how: a named protocol, or `view_options`."""
    views = {key: options[key] for key in ("flip", "window", "stride")}
    views["scales"] = parse_scales(options["scales"])
    if protocol is None:
        return views
    if Protocol(**views) != Protocol():
        raise click.UsageError(
            "--protocol cannot be combined with --flip, --scales, --window, --stride."
        )
    return {"protocol": protocol}


def protocol_for(
    name: str, source: DataSource, test_size: tuple[int, int] | None = None
) -> Protocol:
    """A protocol by name, with the test size of a prepared dataset unless another is given."""
    return get_protocol(name, test_size=test_size or published_test_size(source))


def published_test_size(source: DataSource) -> tuple[int, int] | None:
    """Test size of the published protocol on a prepared dataset; `None` for files."""
    from keras_deeplab.data.datasets.registry import dataset_spec

    return None if source.dataset is None else dataset_spec(source.dataset).test_size


class Evaluation(typing.NamedTuple):
    """A model and the images to evaluate it on.

    Attributes:
        predictor: `Predictor`.
        classes: `ClassTable` of the labels.
        source: `DataSource`, with the image format that the model was trained on.
    """

    predictor: Predictor
    classes: ClassTable
    source: DataSource


def open_evaluation(model: str, options: Options, *, zoo: Zoo | None = None) -> Evaluation:
    """Compiles a model, and finds the labelled images, to be read as those it was trained on.

    Args:
        model: Zoo name, folder of a run, or model file.
        options: Options of the command by parameter name.
        zoo: `Zoo` of the name; the package's by default.

    Raises:
        ValueError: When the classes of the labels are not those of the model.
    """
    from keras_deeplab.zoo.loader import load

    named = model if zoo is None else load(model, zoo=zoo)
    classes, source = open_images(model, model_metadata(named), options)
    return Evaluation(compile_chosen(named, options), classes, source)


def compile_chosen(model: keras.Model | str, options: Options) -> Predictor:
    """The predictor of a model, in the runtime and precision of the options of a command.

    A quantised file has its own precision where the command did not name one.
    """
    from keras_deeplab.runtimes.compiling import compile_for_inference, stored_precision

    precision = options["precision"]
    told = click.get_current_context().get_parameter_source("precision")
    if told is ParameterSource.DEFAULT:
        precision = stored_precision(model) or precision
    return compile_for_inference(model, options["runtime"], precision)


def open_images(
    model: str, trained: ModelMetadata, options: Options
) -> tuple[ClassTable, DataSource]:
    """The classes and the `DataSource` of the labelled images to evaluate a model on.

    Args:
        model: What to call the model in errors.
        trained: Its metadata.
        options: Options of the command by parameter name.

    Raises:
        ValueError: When the classes of the labels are not those of the model.
    """
    source = data_source(options, subset=SUBSET)
    classes = class_table(options, source) or trained.classes
    check_same_classes("labels", classes, model, trained.classes)
    return classes, source.with_format(trained.form).near_resolution(trained.resolution_m)


def model_metadata(model: keras.Model | str) -> ModelMetadata:
    """`ModelMetadata` of a model, before it is compiled.

    Raises:
        ValueError: When there is no such model, or when its classes are unknown.
    """
    from keras_deeplab.runtimes.compiling import find_network

    network = find_network(model)
    if network.metadata is None:
        raise InputError(f"{network.name} has no metadata: its classes are unknown.")
    return network.metadata


def check_same_classes(
    first_name: str, first: ClassTable, second_name: str, second: ClassTable
) -> None:
    """Raises a `ValueError` unless two class tables have the same names in the same order."""
    if first.names != second.names:
        raise InputError(
            f"Classes differ: {first_name} {', '.join(first.names)}; {second_name} "
            f"{', '.join(second.names)}."
        )
