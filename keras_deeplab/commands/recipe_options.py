"""Options of a training's recipe."""

import dataclasses
import json

import click

from keras_deeplab.commands.data_options import published_training

POSITIVE = click.FloatRange(0, min_open=True)
COUNT = click.IntRange(1)


def recipe_options():
    """Decorator: an option for every field of a `Recipe`; what is not given is the recipe's."""

    def option(*names, **settings):
        return click.option(*names, default=None, **settings)

    options = (
        click.option(
            "--recipe", help="published_80k, finetune or finetune_heads; see --show-recipe."
        ),
        option("--steps", type=COUNT, help="Batches to train on."),
        option(
            "--batch", "batch_size", type=COUNT, help="Samples a step, of all devices together."
        ),
        option("--crop", type=click.IntRange(32), help="Side of a sample in pixels."),
        option("--optimizer", type=click.Choice(["sgd", "adamw"])),
        option("--lr", "learning_rate", type=POSITIVE, help="First learning rate."),
        option("--end-lr", "end_learning_rate", type=click.FloatRange(0), help="Last one."),
        option("--schedule", type=click.Choice(["poly", "cosine"]), help="The rates between."),
        option("--warmup", type=click.IntRange(0), help="Steps of rising learning rate."),
        option("--weight-decay", type=click.FloatRange(0)),
        option(
            "--backbone-rate",
            "backbone_lr_factor",
            type=POSITIVE,
            help="Factor on the backbone's learning rate.",
        ),
        option("--clip-norm", type=POSITIVE, help="Largest norm of the gradients."),
        option("--accumulate", type=COUNT, help="Batches for one update."),
        option(
            "--ema", type=click.FloatRange(0, 1, True, True), help="Momentum of averaged weights."
        ),
        option("--loss", type=_Losses(), help="Such as ohem, or crossentropy=1,dice=0.5."),
        option("--class-weights", type=_Weights(), help="A factor for each class: 1,2,1"),
        option(
            "--divide-by", type=click.Choice(["all", "valid"]), help="Pixels losses are a mean of."
        ),
        option(
            "--freeze",
            type=click.Choice(["stem", "layer1", "layer2", "layer3", "backbone"]),
            help="Last part of the backbone that is not trained.",
        ),
        option("--freeze-bn/--train-bn", "freeze_batch_norm", help="Keep batch norm as it is."),
        option(
            "--patience", type=COUNT, help="Validations without a better mIoU that end the run."
        ),
        option("--scale", "base_size", nargs=2, type=COUNT, help="Long and short side of ratio 1."),
        option("--scales", "scale_range", nargs=2, type=POSITIVE, help="Random resize ratios."),
        option("--rotate/--no-rotate", help="Turn samples by right angles."),
        option(
            "--augment",
            "augmentation",
            type=click.Choice(["published", "strong"]),
            help="strong adds jittered resize and RandAugment.",
        ),
        option("--seed", type=int),
    )

    def decorate(command):
        for add in reversed(options):  # as stacked decorators are applied
            command = add(command)
        return command

    return decorate


class _Losses(click.ParamType):
    """Names with weights, as a dict; or a dict, as a run notes it."""

    name = "losses"

    def convert(self, value, parameter, context):
        if isinstance(value, dict):
            return value
        try:
            parts = (part.partition("=") for part in value.split(","))
            return {name.strip(): float(weight or 1) for name, _, weight in parts}
        except ValueError:
            self.fail(f"{value!r} is no list such as crossentropy=1,dice=0.5.", parameter, context)


class _Weights(click.ParamType):
    """Numbers separated by commas, as a tuple; or a list of them, as a run notes it."""

    name = "weights"

    def convert(self, value, parameter, context):
        try:
            return tuple(map(float, value.split(",") if isinstance(value, str) else value))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as 1,2,1.", parameter, context)


def make_recipe(options, num_classes=None, base=None):
    """The `Recipe` of a command's options.

    Args:
        options: Dict of the options; what is `None` was not given.
        num_classes: Number of classes, to check the class weights, where it is known.
        base: `Recipe` that the options change; else the one they name, completed by what a named
            data set was trained with.
    """
    from keras_deeplab.training.recipe import Recipe, get_recipe

    if base is None:
        base = get_recipe(options["recipe"]) if options["recipe"] else Recipe()
        base = dataclasses.replace(base, **published_training(options["dataset"]))
    fields = {field.name for field in dataclasses.fields(Recipe)}
    given = {name: options[name] for name in fields if options[name] is not None}
    recipe = dataclasses.replace(base, **given)
    weights = recipe.class_weights
    if None not in (weights, num_classes) and len(weights) != num_classes:
        raise ValueError(f"--class-weights holds {len(weights)} numbers, not {num_classes}.")
    return recipe


def recipe_text(recipe):
    """A recipe as JSON, one line per field."""
    return json.dumps(dataclasses.asdict(recipe), indent=1)
