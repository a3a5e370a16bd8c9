"""`keras-deeplab train`: trains a variant on labelled images."""

import contextlib
import dataclasses
import json
import os
import shlex
import sys

import click

from keras_deeplab.commands.data_options import (
    FILE,
    OUTPUT,
    REPEATED,
    arguments,
    dataset_files,
    file_format,
    from_run,
    given_options,
    labelled_images,
    named_dataset,
    open_classes,
    open_dataset,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.recipe_options import make_recipe, recipe_options, recipe_text
from keras_deeplab.zoo.run_folders import RUN_RECORD, read_run


def option(*names, **settings):
    """`click.option` that shows its default."""
    return click.option(*names, show_default=True, **settings)


@click.command("train", cls=Command)
@option("--model", "variant", help="Variant, for example r18_d8.")
@named_dataset()
@labelled_images()
@labelled_images("val-", what="Validation images")
@file_format()
@option("--classes", type=FILE, help="Class table of files (JSON): names and colours.")
@option("--output", type=OUTPUT, help="Folder of the run.")
@recipe_options()
@option("--show-recipe", is_flag=True, help="Print the recipe that the options make, and end.")
@option("--aux-head/--no-aux-head", default=True, help="Train with the auxiliary head.")
@option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
    default="float32",
)
@option("--init", default="random", help="random, imagenet, a weights file, or a zoo name.")
@option("--validate-every", type=click.IntRange(1), default=250, help="Steps.")
@option("--save-every", type=click.IntRange(1), default=50, help="Steps.")
@option(
    "--strategy",
    type=click.Choice(["none", "mirrored", "multiworker", "tpu"]),
    default="none",
    help="How to train on several devices or machines.",
)
@click.option("--workers", type=click.IntRange(2), help="Processes of multiworker to start here.")
@option(
    "--on-bad-file",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    help="What to do with an image or mask that cannot be read.",
)
@from_run()
@option("--resume", is_flag=True, help="Continue the run in --output where it was last saved.")
@click.pass_context
def command(context, output, resume, show_recipe, **options):
    """Train a DeepLabV3+ on labelled images.

    These are a prepared data set (--dataset, see prepare: its train split, validated on val), or
    folders of images and masks, or a CSV file; masks are class indices or colours, see --classes.
    The run's folder gets the best and the last weights, the history as CSV, a curve, TensorBoard's
    events and a record of the run; predict and evaluate take that folder as a model.

    Options of the recipe that are not given are those of --recipe, or without it the published
    ones with samples turned by right angles (a data set's own recipe has its crop and scale, and
    no turns).
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
        raise click.UsageError("--workers starts the processes of --strategy multiworker.")
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


def train_here(context, output, resume, options):
    """Trains in this process, alone or as one of several workers."""
    from keras_deeplab.commands.startup import import_tensorflow

    strategy = import_tensorflow(lambda: strategy_named(options["strategy"]))
    from keras_deeplab.data.augmentation.batches import cache_if_small
    from keras_deeplab.data.files.bad_files import BadFiles
    from keras_deeplab.training.distributed.strategies import is_chief
    from keras_deeplab.training.loop.run import train

    table = open_classes(options)
    if table is None:
        raise click.UsageError("Give --classes with --images and --masks, or --dataset.")
    recipe = run_recipe(context, options, len(table))
    skip = options["on_bad_file"] == "skip"
    bad_files = {kind: BadFiles(kind) if skip else None for kind in ("next", "ignored")}
    dataset = open_dataset(options, table, named_split="train", bad_files=bad_files["next"])
    validation = open_dataset(
        options,
        table,
        prefix="val_",
        required=False,
        named_split="val",
        bad_files=bad_files["ignored"],
    )
    if is_chief(strategy):
        note_run(context, output, resume, table, recipe, options)
    model = make_model(options, len(table), recipe.seed, strategy)
    try:
        train(
            model,
            dataset,
            recipe=recipe,
            output=output,
            classes=table,
            validation=validation and cache_if_small(validation),
            validate_every=options["validate_every"],
            save_every=options["save_every"],
            resume=resume,
        )
    finally:
        for files in filter(None, bad_files.values()):  # those that hold any
            click.echo(files.report(), err=True)


def strategy_named(name):
    """The strategy of `--strategy`."""
    from keras_deeplab.training.distributed.strategies import make_strategy

    return make_strategy(name)


def run_recipe(context, options, num_classes=None):
    """The recipe of the options, which change that of the run to repeat, if there is one."""
    from keras_deeplab.training.recipe import Recipe

    base = Recipe(**context.meta[REPEATED]["recipe"]) if REPEATED in context.meta else None
    if context.get_parameter_source("recipe") == click.core.ParameterSource.COMMANDLINE:
        base = None
    return make_recipe(options, num_classes, base)


def make_model(options, num_classes, seed, strategy):
    """The model under its precision, with random weights, those of a file or of a zoo entry."""
    import keras

    from keras_deeplab.data.files.images import ImageFormat
    from keras_deeplab.zoo.builder import build
    from keras_deeplab.zoo.loader import load
    from keras_deeplab.zoo.manifest import list_models

    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_dtype_policy(options["precision"])
    init = options["init"]
    settings = {
        "aux_head": options["aux_head"],
        "input_shape": (None, None, ImageFormat(options["bands"]).channels),
        "sync_batch_norm": strategy is not None,
    }
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        if init in list_models():
            return load(init, num_classes=num_classes, **settings)
        weights = None if init == "random" else init
        return build(options["variant"], num_classes, weights=weights, **settings)


def note_run(context, output, resume, table, recipe, options):
    """Writes the run's record; when resuming, checks that the options are those of the run."""
    from keras_deeplab._internal.files import write_json
    from keras_deeplab.training.loop.provenance import environment, git_revision
    from keras_deeplab.training.loop.run_folder import RunFolder

    model = {name: options[name] for name in ("variant", "bands", "value_range")}
    settings = {name: options[name] for name in ("precision", "init", "aux_head", "validate_every")}
    record = {**model, **table.to_json(), "recipe": dataclasses.asdict(recipe)}
    record["settings"] = settings
    record = json.loads(json.dumps(record))  # tuples become lists, as they will be when read
    if resume:
        noted = read_run(output)
        changed = [key for key in record if record[key] != noted.get(key)]
        if changed:
            raise ValueError(
                f"--resume with other options than {output / RUN_RECORD}: "
                + "; ".join(f"{key}: {noted.get(key)} there, {record[key]} here" for key in changed)
            )
        warn_of_other_data(noted, data_of(options), output)
    elif not RunFolder(output).last.exists():
        record["command"] = shlex.join(["keras-deeplab", *arguments("train")])
        record["options"] = given_options(context)
        record["data"] = data_of(options)
        record["source"] = git_revision()
        record["environment"] = environment()
        if REPEATED in context.meta:
            warn_of_other_data(context.meta[REPEATED], record["data"], "the run to repeat")
        write_json(output / RUN_RECORD, record)


def data_of(options):
    """Hashes of the files of training and validation."""
    from keras_deeplab.training.loop.provenance import data_record

    files = {
        "train": dataset_files(options, named_split="train"),
        "val": dataset_files(options, prefix="val_", named_split="val"),
    }
    return {name: data_record(paths) for name, paths in files.items() if paths}


def warn_of_other_data(noted, data, run):
    """Says where the files are not those that a run noted."""
    for name in data:
        if data[name] != noted.get("data", {}).get(name):
            click.echo(f"Warning: the {name} files are not those of {run}.", err=True)


if __name__ == "__main__":
    command()
