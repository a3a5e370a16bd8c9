"""`keras-deeplab train`: trains a variant on labelled images."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import typing

import click

from keras_deeplab.commands.data_options import (
    FILE,
    OUTPUT_FOLDER,
    PathOrName,
    data_source,
    decorator,
    file_format,
    labelled_images,
    named_dataset,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.recipe_options import make_recipe, recipe_options, recipe_text
from keras_deeplab.commands.repetition import REPEATED, arguments, from_run
from keras_deeplab.commands.training_data import (
    open_datasets,
    training_classes,
    training_windows,
)
from keras_deeplab.commands.training_precision import AUTO, chosen_precision, precision_option
from keras_deeplab.commands.training_record import check_options, note_run
from keras_deeplab.commands.validation_options import (
    check_validation_options,
    validation_options,
    validation_place,
)

if typing.TYPE_CHECKING:
    from keras_deeplab.data.source import DataSource
    from keras_deeplab.training.recipe import Recipe


def option(*names: str, **settings: typing.Any):
    """`click.option` that shows its default."""
    return click.option(*names, show_default=True, **settings)


@click.command("train", cls=Command)
@option("--model", "variant", help="Variant, for example r18_d8. Default: that of --init.")
@named_dataset()
@labelled_images()
@labelled_images("val-", what="validation images")
@decorator(*validation_options())
@file_format()
@option("--classes", type=FILE, help="Class table of the labels (JSON): names and colours.")
@option("--output", type=OUTPUT_FOLDER, help="Folder of the run.")
@recipe_options()
@option("--show-recipe", is_flag=True, help="Print the recipe of these options and exit.")
@click.option(
    "--aux-head/--no-aux-head",
    default=None,
    help="Train with the auxiliary head.  [default: if the network has one]",
)
@precision_option()
@option(
    "--init",
    type=PathOrName(),
    default="random",
    help="Start from: random, imagenet, a zoo name, a run folder, or a weights file "
    "(.weights.h5, .keras, .pth, TensorFlow's .tar.gz or .index).",
)
@option("--validate-every", type=click.IntRange(1), default=250, help="Steps.")
@option("--save-every", type=click.IntRange(1), default=50, help="Steps.")
@option(
    "--strategy",
    type=click.Choice(["none", "mirrored", "multiworker", "tpu"]),
    default="none",
    help="tf.distribute strategy for several devices or machines.",
)
@click.option("--workers", type=click.IntRange(2), help="Start this many multiworker processes.")
@option(
    "--on-bad-file",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    help="What to do with an unreadable image or mask.",
)
@from_run()
@option("--resume", is_flag=True, help="Continue the run in --output from its last save.")
@click.pass_context
def command(context: click.Context, output, resume, show_recipe, **options) -> None:
    """Train a DeepLabV3+ on labelled images.

    Give a prepared dataset (--dataset, see prepare: trains on its train split, validates on val),
    folders of images and masks, a CSV file, or scenes and a file of polygons (--images SCENE.tif
    --labels FILE --class-field NAME). Masks hold class indices or colours, see --classes.
    The run folder gets the best and the last weights, the history as CSV, a curve, TensorBoard
    events and a record of the run. Pass it to predict and evaluate as a model.

    Recipe options that you do not give come from --recipe. Without it they are the published ones,
    with random right-angle rotation; a prepared dataset sets its published crop and scale, without
    rotation.
    """
    if show_recipe:
        from keras_deeplab.commands.startup import import_tensorflow

        import_tensorflow()
        click.echo(recipe_text(run_recipe(context, options)))
        return
    if output is None:
        raise click.UsageError("Missing option --output.")
    if options["variant"] is None and options["init"] in ("random", "imagenet"):
        raise click.UsageError("Missing option --model, or --init with the weights to start from.")
    check_validation_options(options)
    if options["workers"] and options["strategy"] != "multiworker":
        raise click.UsageError("--workers needs --strategy multiworker.")
    if options["precision"] == AUTO and options["strategy"] == "multiworker":
        raise click.UsageError(
            "--precision auto cannot be combined with --strategy multiworker: the processors of "
            "the workers may differ. Name the precision."
        )
    if options["workers"] and "TF_CONFIG" not in os.environ:
        from keras_deeplab.training.distributed.workers import run_workers

        context.exit(
            run_workers(
                [sys.executable, "-m", "keras_deeplab.commands", *arguments("train")],
                options["workers"],
            )
        )
    precision = chosen_precision(options["precision"], output if resume else None)
    # Not "auto": --from-run and --resume repeat what run.json notes, on any processor.
    context.params["precision"] = options["precision"] = precision
    train_here(context, output, resume, options)
    click.echo(f"Done: {output}")


def train_here(context: click.Context, output, resume: bool, options) -> None:
    """Trains in this process, alone or as one of several workers."""
    from keras_deeplab.commands.startup import import_tensorflow

    strategy = import_tensorflow(lambda: strategy_named(options["strategy"]))
    from keras_deeplab.data.files.bad_files import BadFiles
    from keras_deeplab.models.variants import has_auxiliary_head
    from keras_deeplab.training.distributed.strategies import worker_share
    from keras_deeplab.training.loop.run import train
    from keras_deeplab.zoo.starting_point import find_starting_point

    start = find_starting_point(options["init"], options["variant"])
    if options["aux_head"] is None:
        options["aux_head"] = has_auxiliary_head(start.variant)
    sources = {
        "train": data_source(options, subset="train"),
        "val": data_source(options, subset="val", prefix="val_", required=False),
    }
    classes = training_classes(options, sources["train"], start)
    if sources["val"] is not None:
        resolution = sources["train"].ground().resolution_m
        sources["val"] = sources["val"].near_resolution(resolution)
        sources["val"].warn_of_shared_ground(sources["train"])
    if len(classes) < 2:
        raise click.UsageError(
            f"The class table has one class, {classes.names[0]!r}: add one for everything else."
        )
    recipe = run_recipe(context, options, len(classes))
    if recipe.base_size and sources["train"].labels is not None:
        raise click.UsageError("--scale cannot be combined with scenes: use --resolution.")
    windows = training_windows(recipe)
    place = validation_place(options, windows.size)
    if place is not None:
        sources = sources["train"].by_place(place, classes)
    model = make_model(start, options, classes, sources["train"], recipe, strategy)
    check_options(model, recipe, output, resume, options, validated=sources["val"] is not None)
    skip = options["on_bad_file"] == "skip"
    bad_files = {
        name: BadFiles(stand_in) if skip else None
        for name, stand_in in (("train", "next"), ("val", "ignored"))
    }
    workers = worker_share(strategy)[0]
    datasets = open_datasets(sources, classes, bad_files, workers, windows)
    notes = note_run(context, output, resume, sources, options, strategy)
    try:
        train(
            model,
            datasets["train"],
            recipe=recipe,
            output=output,
            classes=classes,
            validation=datasets["val"],
            validate_every=options["validate_every"],
            save_every=options["save_every"],
            resume=resume,
            notes=notes,
        )
    finally:
        for files in filter(None, bad_files.values()):  # those that hold any
            click.echo(files.report(), err=True)


def strategy_named(name: str):
    """The strategy of `--strategy`."""
    from keras_deeplab.training.distributed.strategies import make_strategy

    return make_strategy(name)


def run_recipe(context: click.Context, options, num_classes: int | None = None) -> Recipe:
    """The recipe of the options, which change that of the run to repeat, if there is one."""
    from keras_deeplab.training.loop.run_record import noted_recipe

    base = noted_recipe(context.meta[REPEATED]) if REPEATED in context.meta else None
    if context.get_parameter_source("recipe") == click.core.ParameterSource.COMMANDLINE:
        base = None
    return make_recipe(options, num_classes, base)


def make_model(start, options, classes, training: DataSource, recipe: Recipe, strategy):
    """The model of a starting point for these classes and images, under precision and strategy."""
    import keras

    from keras_deeplab.zoo.starting_point import build_from

    keras.utils.set_random_seed(recipe.seed)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        model = build_from(
            start,
            len(classes),
            aux_head=options["aux_head"],
            input_shape=(None, None, training.form.channels),
            sync_batch_norm=strategy is not None,
            dtype=options["precision"],
        )
    ground = training.ground()
    model.metadata = dataclasses.replace(
        model.metadata,
        classes=classes,
        channels=ground.channels,
        bands=training.form.bands,
        value_range=training.form.value_range,
        resolution_m=ground.resolution_m,
        tile_size=recipe.crop,
    )
    return model


if __name__ == "__main__":
    command()
