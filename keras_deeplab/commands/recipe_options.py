"""Options of a training's recipe."""

from __future__ import annotations

import dataclasses
import functools
import json
import typing

import click

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import Decorator, Options, decorator

if typing.TYPE_CHECKING:
    from keras_deeplab.training.recipe import Recipe

POSITIVE = click.FloatRange(0, min_open=True)
COUNT = click.IntRange(1)


def recipe_options() -> Decorator:
    """Decorator: an option for every field of a `Recipe`; those not given are the recipe's."""
    option = functools.partial(click.option, default=None)
    return decorator(
        option("--recipe", help="published_80k, finetune or finetune_heads; see --show-recipe."),
        option("--steps", type=COUNT, help="Training steps, one batch each."),
        option("--batch", "batch_size", type=COUNT, help="Batch size, of all devices together."),
        option("--crop", type=click.IntRange(32), help="Side of a training sample, in pixels."),
        option("--optimizer", type=click.Choice(["sgd", "adamw"])),
        option("--lr", "learning_rate", type=POSITIVE, help="Initial learning rate."),
        option(
            "--end-lr",
            "end_learning_rate",
            type=click.FloatRange(0),
            help="Final learning rate. Default: a hundredth of --lr.",
        ),
        option("--schedule", type=click.Choice(["poly", "cosine"]), help="Learning-rate schedule."),
        option(
            "--warmup",
            type=click.FloatRange(0),
            help="Steps of linear warm-up, or below 1 their share of all steps.",
        ),
        option(
            "--weight-decay",
            type=click.FloatRange(0),
            help="L2 factor of SGD, decoupled decay of AdamW.",
        ),
        option(
            "--backbone-rate",
            "backbone_lr_factor",
            type=POSITIVE,
            help="Factor on the backbone's learning rate.",
        ),
        option("--clip-norm", type=POSITIVE, help="Clip the global gradient norm to this."),
        option("--accumulate", type=COUNT, help="Accumulate gradients over this many batches."),
        option(
            "--ema",
            type=click.FloatRange(0, 1, True, True),
            help="Momentum of the exponential moving average of the weights.",
        ),
        option(
            "--loss", type=Losses(), help="Losses, for example ohem, or crossentropy=1,dice=0.5."
        ),
        option(
            "--ohem-min-kept",
            type=COUNT,
            help="Minimum of pixels that ohem keeps per sample. Default: 38 % of its pixels.",
        ),
        option("--class-weights", type=Weights(), help="Loss weight of each class: 1,2,1."),
        option(
            "--divide-by",
            type=click.Choice(["all", "valid"]),
            help="Average the loss over all or only valid pixels.",
        ),
        option(
            "--freeze",
            type=click.Choice(["stem", "layer1", "layer2", "layer3", "backbone"]),
            help="Freeze the backbone up to and including this part.",
        ),
        option("--freeze-bn/--train-bn", "freeze_batch_norm", help="Freeze trained batch norms."),
        option(
            "--precise-bn",
            type=COUNT,
            metavar="BATCHES",
            help="Before validation, compute batch norm statistics from this many batches.",
        ),
        option(
            "--patience", type=COUNT, help="Stop after this many validations without a better mIoU."
        ),
        option(
            "--scale",
            "base_size",
            nargs=2,
            type=COUNT,
            metavar="LONG SHORT",
            help="Size that resize ratio 1 stands for. Default: the image's own.",
        ),
        option(
            "--scales",
            "scale_range",
            nargs=2,
            type=POSITIVE,
            metavar="LOW HIGH",
            help="Range of random resize ratios.",
        ),
        option("--rotate/--no-rotate", help="Rotate samples by random right angles."),
        option(
            "--augment",
            "augmentation",
            type=click.Choice(["published", "strong", "sensor"]),
            help="strong adds jittered resize and RandAugment; sensor adds blur, gamma, colour "
            "balance and JPEG artefacts.",
        ),
        option("--seed", type=int, help="Seed of data order, augmentation and dropout."),
    )


class Losses(click.ParamType):
    """Names with weights, as a dict; also a dict, as a run record holds it."""

    name = "losses"

    def convert(self, value, parameter, context):
        if isinstance(value, dict):
            return value
        try:
            parts = (part.partition("=") for part in value.split(","))
            return {name.strip(): float(weight or 1) for name, _, weight in parts}
        except ValueError:
            self.fail(
                f"{value!r} is not a list such as crossentropy=1,dice=0.5.", parameter, context
            )


class Weights(click.ParamType):
    """Numbers separated by commas, as a tuple; also a list, as a run record holds it."""

    name = "weights"

    def convert(self, value, parameter, context):
        try:
            return tuple(map(float, value.split(",") if isinstance(value, str) else value))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,2,1.", parameter, context)


def published_training(dataset: str | None) -> dict[str, typing.Any]:
    """`Recipe` fields of the published training on a prepared dataset; `{}` without one."""
    from keras_deeplab.data.datasets.registry import dataset_spec

    if dataset is None:
        return {}
    spec = dataset_spec(dataset)
    return {"crop": spec.crop, "base_size": spec.base_size, "rotate": False}


def make_recipe(
    options: Options, num_classes: int | None = None, base: Recipe | None = None
) -> Recipe:
    """The `Recipe` of a command's options.

    Args:
        options: Options of the command by parameter name; `None` where not given.
        num_classes: Number of classes, to check the class weights, where it is known.
        base: `Recipe` that the options change. By default the one that they name, with what the
            published training on a prepared dataset sets.
    """
    from keras_deeplab.training.recipe import Recipe, get_recipe

    if base is None:
        base = get_recipe(options["recipe"]) if options["recipe"] else Recipe()
        base = dataclasses.replace(base, **published_training(options["dataset"]))
    fields = {field.name for field in dataclasses.fields(Recipe)}
    given = {name: options[name] for name in fields if options[name] is not None}
    recipe = dataclasses.replace(base, **given)
    weights = recipe.class_weights
    if weights and num_classes and len(weights) != num_classes:
        raise InputError(f"--class-weights has {len(weights)} values for {num_classes} classes.")
    return recipe


def recipe_text(recipe: Recipe) -> str:
    """A recipe as JSON, one line per field."""
    return json.dumps(recipe.resolved(), indent=1)
