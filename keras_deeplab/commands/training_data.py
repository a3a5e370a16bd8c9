"""What `train` opens: the classes, windows and datasets of its sources."""

from __future__ import annotations

import math
import typing

import click

from keras_deeplab.commands.data_options import class_table

if typing.TYPE_CHECKING:
    from keras_deeplab.data.files.windows import RandomWindows
    from keras_deeplab.data.source import DataSource
    from keras_deeplab.training.recipe import Recipe

MOST_WINDOWS = 100_000  # of scenes, after which they are used again, with other crops


def training_classes(options, source: DataSource, start):
    """The class table of the labels.

    It is that of `--classes` or of a prepared dataset. Where labels name their classes, it is
    otherwise that of the model that the training starts from, or of the labels.
    """
    classes = class_table(options, source)
    if classes is None and source.names_classes and start.metadata is not None:
        classes = start.metadata.classes
    classes = classes or source.default_classes()
    if classes is None:
        raise click.UsageError(
            "Give --classes: masks in files need a class table, or --mask-values with class names."
        )
    return classes


def training_windows(recipe: Recipe):
    """The windows of scenes for a training: for each sample the largest part that a crop shows."""
    from keras_deeplab.data.files.windows import RandomWindows

    count = min(recipe.steps * recipe.batch_size, MOST_WINDOWS)
    return RandomWindows(math.ceil(recipe.crop / recipe.scale_range[0]), count, recipe.seed % 2**32)


def open_datasets(
    sources, classes, bad_files, workers: int, windows: RandomWindows
) -> dict[str, typing.Any]:
    """The dataset of each source, `None` without one; validation images stay in memory if they fit.

    Args:
        sources: `DataSource` or `None` for `"train"` and `"val"`.
        classes: Classes of the masks.
        bad_files: `BadFiles` or `None` by the same names.
        workers: Processes that train together; each keeps its images.
        windows: Windows of the training, for scenes.
    """
    from keras_deeplab.data.augmentation.epochs import MEMORY, cache_if_small

    datasets = dict.fromkeys(sources)
    for name, source in sources.items():
        if source is None:
            continue
        datasets[name], counts = source.open_counted(
            classes, bad_files=bad_files[name], windows=windows if name == "train" else None
        )
        if counts is not None:
            say_counts(name, counts, classes)
    MEMORY.grants(datasets["train"], workers)  # first: they are read more often
    if datasets["val"] is not None:
        datasets["val"] = cache_if_small(datasets["val"], workers)
    return datasets


def say_counts(name: str, counts, classes) -> None:
    """Prints what the masks hold; warns of classes without pixels, refuses masks without labels."""
    from keras_deeplab._internal.errors import InputError

    labelled = int(counts.pixels.sum())
    if not labelled:
        raise InputError(
            f"{name}: no pixel of {counts.images} masks is labelled: all are ignored. Check the "
            "class table and the nodata value of the masks."
        )
    shares = ", ".join(
        f"{each} {share:.1%}" for each, share in zip(classes.names, counts.shares, strict=True)
    )
    ignored = counts.ignored / (labelled + counts.ignored)
    click.echo(
        f"{name}: {counts.describe()}; {shares}; {ignored:.1%} of all pixels ignored.", err=True
    )
    absent = [each for each, pixels in zip(classes.names, counts.pixels, strict=True) if not pixels]
    if absent:
        click.echo(f"Warning: {name}: never labelled: {', '.join(absent)}.", err=True)
