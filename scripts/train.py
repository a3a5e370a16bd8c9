"""`keras-deeplab train`: trains a variant on labelled images."""

import dataclasses
import json
import shlex
import sys

import click

from keras_deeplab.cli import Command
from keras_deeplab.cli_options import (
    FILE,
    OUTPUT,
    file_format,
    labelled_images,
    named_dataset,
    open_classes,
    open_dataset,
    published_training,
)

POSITIVE = click.FloatRange(0, min_open=True)


def option(*names, **settings):
    """`click.option` that shows its default."""
    return click.option(*names, show_default=True, **settings)


@click.command("train", cls=Command)
@option("--model", "variant", required=True, help="Variant, for example r18_d8.")
@named_dataset()
@labelled_images()
@labelled_images("val-", what="Validation images")
@file_format()
@option("--classes", type=FILE, help="Class table of files (JSON): names and colours.")
@option("--output", type=OUTPUT, required=True, help="Folder of the run.")
@option("--steps", type=click.IntRange(1), default=80_000)
@option("--crop", type=click.IntRange(32), help="Side of a sample [512, or the data set's].")
@option("--batch", "batch_size", type=click.IntRange(1), default=16, help="Samples a step.")
@option("--optimizer", type=click.Choice(["sgd", "adamw"]), default="sgd")
@option("--lr", "learning_rate", type=POSITIVE, default=0.01, help="First learning rate.")
@option("--end-lr", "end_learning_rate", type=click.FloatRange(0), default=1e-4)
@option("--warmup", type=click.IntRange(0), default=0, help="Steps of rising learning rate.")
@option("--weight-decay", type=click.FloatRange(0), default=5e-4)
@option("--class-weights", help="Loss factor of each class, separated by commas.")
@option("--scales", nargs=2, type=POSITIVE, default=(0.5, 2.0), help="Random resize ratios.")
@option(
    "--scale",
    nargs=2,
    type=click.IntRange(1),
    help="Long and short side of ratio 1 [the data set's].",
)
@option(
    "--augment",
    "augmentation",
    type=click.Choice(["published", "strong"]),
    default="published",
    help="strong adds jittered resize and RandAugment.",
)
@option(
    "--rotate/--no-rotate",
    default=None,
    help="Turn samples by right angles [as published with --dataset, else on].",
)
@option("--aux-head/--no-aux-head", default=True, help="Train with the auxiliary head.")
@option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16"]),
    default="float32",
)
@option("--init", default="random", help="random, a weights file, or a zoo name.")
@option("--validate-every", type=click.IntRange(1), default=250, help="Steps.")
@option("--save-every", type=click.IntRange(1), default=50, help="Steps.")
@option("--seed", type=int, default=0)
@option("--resume", is_flag=True, help="Continue the run in --output where it was last saved.")
def command(output, resume, **options):
    """Train a DeepLabV3+ on labelled images.

    These are a prepared data set (--dataset, see prepare: its train split, validated on val), or
    folders of images and masks, or a CSV file; masks are class indices or colours, see --classes.
    The run's folder gets the best and the last weights, the history as CSV and a curve; predict and
    evaluate take that folder as a model.
    """
    from keras_deeplab.quiet import import_tensorflow

    import_tensorflow()
    from keras_deeplab.data.batches import kept_in_memory
    from keras_deeplab.training.loop import train

    table = open_classes(options)
    if table is None:
        raise click.UsageError("Give --classes with --images and --masks, or --dataset.")
    recipe = make_recipe(options, len(table))
    dataset = open_dataset(options, table, named_split="train")
    validation = open_dataset(options, table, prefix="val_", required=False, named_split="val")
    note_run(output, resume, table, recipe, options)
    model = make_model(options, len(table), recipe.seed)
    try:
        train(
            model,
            dataset,
            recipe=recipe,
            output=output,
            num_classes=len(table),
            validation=validation and kept_in_memory(validation),
            validate_every=options["validate_every"],
            save_every=options["save_every"],
            resume=resume,
        )
    except KeyboardInterrupt:
        raise click.ClickException("Interrupted. The same command with --resume goes on.") from None
    click.echo(f"Done: {output}")


def make_recipe(options, num_classes):
    """The `Recipe` of the options, completed by what the data set was trained with."""
    from keras_deeplab.training.recipe import Recipe

    fields = {field.name for field in dataclasses.fields(Recipe)}
    given = {name: value for name, value in options.items() if value is not None}
    values = {**published_training(options["dataset"]), **given}
    values = {name: value for name, value in values.items() if name in fields}
    if "class_weights" in values:
        weights = tuple(float(weight) for weight in values["class_weights"].split(","))
        if len(weights) != num_classes:
            raise ValueError(f"--class-weights holds {len(weights)} numbers, not {num_classes}.")
        values["class_weights"] = weights
    return Recipe(**values)


def make_model(options, num_classes, seed):
    """The model under its precision, with random weights, those of a file or of a zoo entry."""
    import keras

    from keras_deeplab.builder import build
    from keras_deeplab.data.images import ImageFormat
    from keras_deeplab.manifest import list_models
    from keras_deeplab.zoo import load

    keras.utils.set_random_seed(seed)
    keras.mixed_precision.set_dtype_policy(options["precision"])
    variant, init = options["variant"], options["init"]
    channels = ImageFormat(options["bands"]).channels
    settings = {"aux_head": options["aux_head"], "input_shape": (None, None, channels)}
    if init in list_models():
        return load(init, num_classes=num_classes, **settings)
    return build(variant, num_classes, weights=None if init == "random" else init, **settings)


def note_run(output, resume, table, recipe, options):
    """Writes the run's record; when resuming, checks that the options are those of the run."""
    from keras_deeplab.files import written_whole
    from keras_deeplab.training.run_folder import RunFolder
    from keras_deeplab.zoo import RUN_RECORD, read_run

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
    elif not RunFolder(output).last.exists():
        arguments = sys.argv[2:] if sys.argv[1] == "train" else sys.argv[1:]  # group or script
        record["command"] = shlex.join(["keras-deeplab", "train", *arguments])
        with written_whole(output / RUN_RECORD) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    command()
