"""Options of the commands that evaluate: model, labelled images, protocol."""

import dataclasses
import os
import pathlib

import click

from keras_deeplab.commands.data_options import (
    FILE,
    dataset_files,
    decorator,
    file_format,
    labelled_images,
    named_dataset,
    open_classes,
    open_dataset,
)
from keras_deeplab.prediction.protocols import (
    PROTOCOLS,
    Protocol,
    get_protocol,
    named,
    parse_scales,
)

SPLIT = "val"  # of a prepared data set
PROTOCOL = click.Choice(list(PROTOCOLS))


def evaluated_images():
    """Decorator: which labelled images and how they and the model are read, for `open_labelled`."""
    return decorator(
        named_dataset(),
        labelled_images(),
        file_format(),
        click.option("--classes", type=FILE, help="Class table of the masks, if not the model's."),
        click.option(
            "--precision",
            type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
            default="float32",
            show_default=True,
            help="What the network computes in.",
        ),
    )


def view_options():
    """Decorator: how an image is predicted, for `make_protocol`."""
    return decorator(
        click.option("--flip", is_flag=True, help="Average with the mirrored image."),
        click.option("--scales", default="1", show_default=True, help="Scales to average: 0.5,1"),
        click.option("--window", type=click.IntRange(32), help="Predict by windows of this side."),
        click.option("--stride", type=click.IntRange(1), help="Step of the windows."),
    )


def protocol_options():
    """Decorator: how the images of a data set are predicted, for `make_protocol`."""
    return decorator(
        click.option("--protocol", type=PROTOCOL, help="Instead of the next four options."),
        view_options(),
        click.option(
            "--test-scale",
            "test_size",
            nargs=2,
            type=click.IntRange(1),
            metavar="LONG SHORT",
            help="Fit images into these sides first; that of --dataset, or none.",
        ),
    )


def make_protocol(options):
    """The `Protocol` of a command's options."""
    views = {key: options[key] for key in ("flip", "window", "stride")}
    custom = Protocol(scales=parse_scales(options["scales"]), **views)
    if options["protocol"] is None:
        return named(dataclasses.replace(custom, test_size=_test_size(options, custom.window)))
    if custom != Protocol():
        raise click.UsageError("--protocol stands instead of --flip, --scales, --window, --stride.")
    return protocol_named(options["protocol"], options)


def protocol_named(name, options):
    """A protocol by name, with the test scale of the options."""
    return get_protocol(name, test_size=_test_size(options))


def _test_size(options, window=None):
    from keras_deeplab.data.datasets.registry import dataset_spec

    given = options.get("test_size")  # which some commands do not have
    if given or options["dataset"] is None or window is not None:
        return given
    return dataset_spec(options["dataset"]).test_size


def open_labelled(model, options):
    """A model and the labelled images to evaluate it on, read as those it was trained on.

    Args:
        model: Zoo name, or folder of a run.
        options: Dict of the command's options.

    Returns:
        `(model, class table, LabelledImages)`.

    Raises:
        ValueError: When the classes of the labels are not those of the model; and what opening
            raises.
    """
    import keras

    from keras_deeplab.zoo.loader import image_format, open_model

    keras.config.set_dtype_policy(options["precision"])
    network, table = open_model(model)
    labels = open_classes(options) or table
    check_same_classes("The labels", labels, model, table)
    if options["dataset"] is None:
        trained_on = image_format(model)
        bands = options["bands"] or trained_on.bands
        options = {
            **options,
            "bands": bands,
            "value_range": options["value_range"] or trained_on.value_range,
        }
    return network, table, LabelledImages(labels, options)


def check_same_classes(first_name, first, second_name, second):
    """Raises a `ValueError` unless two class tables have the same names in the same order."""
    if first.names != second.names:
        raise ValueError(
            f"{first_name} have the classes {', '.join(first.names)}; {second_name} has "
            f"{', '.join(second.names)}."
        )


class LabelledImages:
    """The labelled images that the options of a command describe.

    Iterating reads them, with a bar of progress, as pairs `(image, label)`.

    Args:
        table: `ClassTable` of the labels.
        options: Dict of the command's options.
    """

    def __init__(self, table, options):
        self.options = options
        self.dataset = open_dataset(options, table, named_split=SPLIT)

    def __len__(self):
        return int(self.dataset.cardinality())

    def __iter__(self):
        import tqdm

        return iter(tqdm.tqdm(self.dataset, total=len(self), unit="image", leave=False))

    def __str__(self):
        if self.options["dataset"] is not None:
            return f"{self.options['dataset']}, split {SPLIT}"
        return ", ".join(str(path) for path in self.options["images"] or [self.options["pairs"]])

    def names(self):
        """Iterator over a name for each image, to tell them apart."""
        from keras_deeplab.data.datasets.registry import dataset_builder, tile_names

        if self.options["dataset"] is not None:
            builder = dataset_builder(self.options["dataset"], data_dir=self.options["data_dir"])
            return tile_names(builder, SPLIT)
        images = dataset_files(self.options, named_split=SPLIT)[::2]
        root = os.path.commonpath([os.path.dirname(image) for image in images])
        return (pathlib.Path(image).relative_to(root).as_posix() for image in images)
