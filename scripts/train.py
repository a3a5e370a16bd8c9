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
    PRECISION,
    class_table,
    data_source,
    file_format,
    labelled_images,
    named_dataset,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.recipe_options import make_recipe, recipe_options, recipe_text
from keras_deeplab.commands.repetition import REPEATED, arguments, from_run, given_options

if typing.TYPE_CHECKING:
    from keras_deeplab.data.source import DataSource
    from keras_deeplab.training.recipe import Recipe


def option(*names: str, **settings: typing.Any):
    """`click.option` that shows its default."""
    return click.option(*names, show_default=True, **settings)


@click.command("train", cls=Command)
@option("--model", "variant", help="Variant, for example r18_d8.")
@named_dataset()
@labelled_images()
@labelled_images("val-", what="validation images")
@file_format()
@option("--classes", type=FILE, help="Class table of the masks (JSON): names and colours.")
@option("--output", type=OUTPUT_FOLDER, help="Folder of the run.")
@recipe_options()
@option("--show-recipe", is_flag=True, help="Print the recipe of these options and exit.")
@option("--aux-head/--no-aux-head", default=True, help="Train with the auxiliary head.")
@option("--precision", type=PRECISION, default="float32")
@option("--init", default="random", help="random, imagenet, a weights file, or a zoo name.")
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
    folders of images and masks, or a CSV file. Masks hold class indices or colours, see --classes.
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
    for name, value in (("--model", options["variant"]), ("--output", output)):
        if value is None:
            raise click.UsageError(f"Missing option {name}.")
    if options["workers"] and options["strategy"] != "multiworker":
        raise click.UsageError("--workers needs --strategy multiworker.")
    if options["workers"] and "TF_CONFIG" not in os.environ:
        from keras_deeplab.training.distributed.workers import run_workers

        context.exit(
            run_workers(
                [sys.executable, "-m", "keras_deeplab.commands", *arguments("train")],
                options["workers"],
            )
        )
    train_here(context, output, resume, options)
    click.echo(f"Done: {output}")


def train_here(context: click.Context, output, resume: bool, options) -> None:
    """Trains in this process, alone or as one of several workers."""
    from keras_deeplab.commands.startup import import_tensorflow

    strategy = import_tensorflow(lambda: strategy_named(options["strategy"]))
    from keras_deeplab.data.augmentation.batches import cache_if_small
    from keras_deeplab.data.files.bad_files import BadFiles
    from keras_deeplab.training.distributed.strategies import is_chief
    from keras_deeplab.training.loop.run import train
    from keras_deeplab.training.loop.run_record import note_run

    training = data_source(options, subset="train")
    validation = data_source(options, subset="val", prefix="val_", required=False)
    classes = class_table(options, training)
    if classes is None:
        raise click.UsageError("Give --classes: masks in files need a class table.")
    recipe = run_recipe(context, options, len(classes))
    skip = options["on_bad_file"] == "skip"
    bad_training, bad_validation = (
        BadFiles(stand_in) if skip else None for stand_in in ("next", "ignored")
    )
    dataset = training.open(classes, bad_files=bad_training)
    validated = validation and cache_if_small(validation.open(classes, bad_files=bad_validation))
    if is_chief(strategy):
        note_run(
            output,
            record=run_record(classes, recipe, training, options),
            sources={"train": training, "val": validation},
            options=given_options(context),
            command=["keras-deeplab", *arguments("train")],
            repeated=context.meta.get(REPEATED),
            resume=resume,
        )
    try:
        train(
            make_model(options, len(classes), training, recipe.seed, strategy),
            dataset,
            recipe=recipe,
            output=output,
            classes=classes,
            validation=validated,
            validate_every=options["validate_every"],
            save_every=options["save_every"],
            resume=resume,
        )
    finally:
        for files in filter(None, (bad_training, bad_validation)):  # those that hold any
            click.echo(files.report(), err=True)


def strategy_named(name: str):
    """The strategy of `--strategy`."""
    from keras_deeplab.training.distributed.strategies import make_strategy

    return make_strategy(name)


def run_recipe(context: click.Context, options, num_classes: int | None = None) -> Recipe:
    """The recipe of the options, which change that of the run to repeat, if there is one."""
    from keras_deeplab.training.recipe import Recipe

    base = Recipe(**context.meta[REPEATED]["recipe"]) if REPEATED in context.meta else None
    if context.get_parameter_source("recipe") == click.core.ParameterSource.COMMANDLINE:
        base = None
    return make_recipe(options, num_classes, base)


def make_model(options, num_classes: int, training: DataSource, seed: int, strategy):
    """The model under its precision, with random weights, those of a file or of a zoo entry."""
    import keras

    from keras_deeplab.zoo.builder import build
    from keras_deeplab.zoo.loader import load
    from keras_deeplab.zoo.manifest import list_models

    keras.utils.set_random_seed(seed)
    init = options["init"]
    settings = {
        "aux_head": options["aux_head"],
        "input_shape": (None, None, training.form.channels),
        "sync_batch_norm": strategy is not None,
        "dtype": options["precision"],
    }
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        if init in list_models():
            return load(init, num_classes=num_classes, **settings)
        weights = None if init == "random" else init
        return build(options["variant"], num_classes, weights=weights, **settings)


def run_record(classes, recipe: Recipe, training: DataSource, options) -> dict[str, typing.Any]:
    """What a resumed run must have in common with the one that it continues."""
    settings = ("precision", "init", "aux_head", "validate_every")
    return {
        "variant": options["variant"],
        "bands": training.form.bands,
        "value_range": training.form.value_range,
        **classes.to_json(),
        "recipe": dataclasses.asdict(recipe),
        "settings": {name: options[name] for name in settings},
    }


if __name__ == "__main__":
    command()
