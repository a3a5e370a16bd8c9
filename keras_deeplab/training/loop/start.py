"""Checks before the first step of a new or resumed run."""

import os
import pathlib

import keras

from keras_deeplab._internal.errors import InputError
from keras_deeplab.training.compiling import frozen_by
from keras_deeplab.training.loop.run_folder import LAST, saved_frozen
from keras_deeplab.training.loop.run_record import check_resumed
from keras_deeplab.training.recipe import Recipe
from keras_deeplab.zoo.run_folders import Record


def check_start(
    model: keras.Model,
    recipe: Recipe,
    output: str | os.PathLike[str],
    record: Record,
    *,
    resume: bool,
    validated: bool,
) -> set[str]:
    """Checks whether a run can start; changes nothing.

    Args:
        model: The model, not yet compiled.
        recipe: Its recipe.
        output: The run folder.
        record: Record of the run, see `run_record`.
        resume: Whether the run in `output` is to be continued.
        validated: Whether there are validation images.

    Returns:
        Names of the layers to freeze: those of the run to resume, or those of the recipe.

    Raises:
        ValueError: When it cannot start.
    """
    if recipe.patience is not None and not validated:
        raise InputError(
            f"patience={recipe.patience} (--patience) needs validation images: it counts "
            "validations without a better mIoU."
        )
    last = pathlib.Path(output) / LAST
    if not resume:
        if last.exists():
            raise InputError(
                f"{output} already contains a run: resume it or choose another folder."
            )
        return frozen_by(model, recipe)
    if not last.exists():
        raise InputError(f"Cannot resume {output}: {LAST} is missing.")
    check_resumed(output, record)
    return saved_frozen(last)
