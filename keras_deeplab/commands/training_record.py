"""What `train` notes of a run, and what a resumed run must have in common with it."""

from __future__ import annotations

import dataclasses
import typing

import click

from keras_deeplab.commands.polygon_options import HOW
from keras_deeplab.commands.repetition import REPEATED, arguments, given_options
from keras_deeplab.commands.validation_options import validation_settings, write_validation

if typing.TYPE_CHECKING:
    from keras_deeplab.training.recipe import Recipe

SETTINGS = ("precision", "init", "aux_head", "validate_every", "mask_values")


def check_options(model, recipe: Recipe, output, resume: bool, options, *, validated: bool) -> None:
    """Checks of `train` that do not need the images, and whether the resumed run had these."""
    from keras_deeplab.training.loop.start import check_start
    from keras_deeplab.zoo.run_folders import run_record

    record = run_record(
        model.metadata, recipe=dataclasses.asdict(recipe), settings=settings_of(options)
    )
    check_start(model, recipe, output, record, resume=resume, validated=validated)


def settings_of(options) -> dict[str, typing.Any]:
    """Options besides the recipe that a resumed run must have in common with the run."""
    settings = {name: options[name] for name in SETTINGS}
    settings |= {name: options[name] or None for name in HOW}
    return {**settings, **validation_settings(options)}


def note_run(
    context: click.Context, output, resume: bool, sources, options, strategy
) -> dict[str, typing.Any] | None:
    """What a new run notes besides model and recipe. Only on the chief.

    Warns when a resumed run had other data.
    """
    from keras_deeplab.training.distributed.strategies import is_chief
    from keras_deeplab.training.loop.run_record import hashes, run_notes, warn_of_other_data
    from keras_deeplab.zoo.run_folders import read_run

    if not is_chief(strategy):
        return None
    if resume:
        warn_of_other_data(read_run(output), hashes(sources), str(output))
        return None
    write_validation(sources["train"], output)
    return run_notes(
        sources,
        settings=settings_of(options),
        options=given_options(context),
        command=["keras-deeplab", *arguments("train")],
        repeated=context.meta.get(REPEATED),
    )
