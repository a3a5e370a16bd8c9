"""A training run from a recipe to a run folder: `keras_deeplab.train`."""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.augmentation.batches import training_batches
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.training.callbacks import MeanIoU
from keras_deeplab.training.compiling import compile_frozen
from keras_deeplab.training.distributed.multiworker_fit import patch_fit
from keras_deeplab.training.distributed.strategies import (
    among_workers,
    distributed,
    is_chief,
    strategy_of,
    worker_share,
)
from keras_deeplab.training.loop.averaging import base_optimizer, defer_ema_finalize
from keras_deeplab.training.loop.check_image import keep_check_image
from keras_deeplab.training.loop.deterministic import deterministic_gradients
from keras_deeplab.training.loop.epoch_end import Patience, Validation, end_epoch
from keras_deeplab.training.loop.history import Row
from keras_deeplab.training.loop.interruption import Interruption
from keras_deeplab.training.loop.precise_bn import PreciseBatchNorm
from keras_deeplab.training.loop.progress import ProgressBar
from keras_deeplab.training.loop.run_folder import RunFolder
from keras_deeplab.training.loop.start import check_start
from keras_deeplab.training.loop.tensorboard import TensorBoardLog
from keras_deeplab.training.recipe import Recipe, get_recipe
from keras_deeplab.zoo.metadata import ModelMetadata
from keras_deeplab.zoo.run_folders import run_record


def train(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    recipe: Recipe | str,
    output: str | os.PathLike[str],
    classes: ClassTable | Sequence[str],
    validation: tf.data.Dataset | None = None,
    validate_every: int = 250,
    save_every: int = 50,
    resume: bool = False,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    notes: Mapping[str, Any] | None = None,
) -> list[Row]:
    """Trains a model with a recipe and writes weights, history, plot and event files to a folder.

    SIGTERM and Ctrl-C save the run and end it after the current step. A model that was built under
    the scope of a `tf.distribute` strategy is trained under it. With several workers, all of them
    read the same folder, and only the chief writes to it.

    Args:
        model: Model of `keras_deeplab.build` or `load`, without activation.
        dataset: Finite dataset of `(image, label)`, as `data.from_folder` returns it.
        recipe: `Recipe`, or its name.
        output: Folder for `last.weights.h5`, `best.weights.h5`, `history.csv`, `curve.png`,
            `tensorboard`, `run.json`, the record that `load` reads, and `check_image.tif`, a part
            of the first validation image.
        classes: `ClassTable`, or class names.
        validation: Dataset whose mIoU selects the best weights, or `None` for no best weights.
        validate_every: Steps between validations.
        save_every: Steps between saves of `last.weights.h5`.
        resume: Whether to continue the run in `output`, exactly where it was last saved. Recipe and
            model must be those of the run; the weights that the model has do not matter.
        callbacks: Further Keras callbacks. An epoch ends at every validation; the `loss` in the
            logs is that of the last batch. `model.stop_training = True` ends the run.
        notes: Further JSON-serialisable values to note in `run.json`.

    Returns:
        The rows of the history, dicts of numbers: `step`, `loss`, `learning_rate`, and `val_miou`
        and `val_miou_flip`, which are `None` where nothing was validated. The model ends with its
        last weights, or with their moving average when the recipe has `ema`.

    Raises:
        ValueError: When there is one class only; when batch norm would see a single value; when
            the recipe would freeze random weights, or has `patience` without `validation`; when
            `output` contains a run and `resume` is false, or there is no run to resume, or one
            with another recipe or model.
        NonFinite: When the loss or a weight becomes NaN or infinite; names the step.
        Interrupted: After SIGTERM or Ctrl-C; a `KeyboardInterrupt`.
        ConnectionError: When another worker is lost.
    """
    recipe = get_recipe(recipe)
    classes = classes if isinstance(classes, ClassTable) else ClassTable(tuple(classes))
    if len(classes) < 2:
        raise InputError(
            f"One class, {classes.names[0]!r}: softmax has nothing to decide between. Add a class "
            "for everything else, such as background."
        )
    metadata = _trained_metadata(model, classes, recipe)
    record = run_record(metadata, recipe=dataclasses.asdict(recipe), **(notes or {}))
    validated = validation is not None
    frozen = check_start(model, recipe, output, record, resume=resume, validated=validated)
    compile_frozen(model, recipe, frozen)
    if metadata is not None:
        model.metadata = metadata
    strategy = strategy_of(model)
    chief = is_chief(strategy)
    if worker_share(strategy) != (1, 0):
        patch_fit(model)
    with among_workers(strategy), Interruption(listen=chief) as interruption:
        folder = RunFolder(
            output,
            save_every=save_every,
            writes=chief,
            interruption=interruption,
            record=record,
        )
        folder.remove_leftovers()
        start = folder.restore(model) if resume else 0
        if chief:
            keep_check_image(output, validation or (), resume=resume)
        patience = Patience(folder.history, recipe.patience)
        run_callbacks = [folder, patience, *callbacks]
        scores = None
        if validation is not None:
            scores = MeanIoU(validation, len(classes), flip=True)
            run_callbacks.insert(0, Validation(scores, interruption))
        if recipe.precise_bn is not None:
            plain = _batches(model, dataset, recipe, scale_range=(1.0, 1.0))
            run_callbacks.insert(0, PreciseBatchNorm(plain.take(recipe.precise_bn)))
        with contextlib.ExitStack() as stack:
            if chief:
                events = TensorBoardLog(
                    output, classes, scores=scores, samples=validation or (), step=start
                )
                bar = ProgressBar(recipe.steps, start)
                run_callbacks += [stack.enter_context(contextlib.closing(c)) for c in (events, bar)]
            model.stop_training = False
            if folder.validation_due:
                end_epoch(model, run_callbacks)
            for first, epochs, length in fit_segments(start, recipe.steps, validate_every):
                if model.stop_training or patience.is_over():
                    break
                _fit(model, dataset, recipe, first, epochs, length, run_callbacks)
    base_optimizer(model).finalize_variable_values(model.trainable_variables)
    return folder.history.rows


def _trained_metadata(
    model: keras.Model, classes: ClassTable, recipe: Recipe
) -> ModelMetadata | None:
    """Metadata of a model after its training.

    `None` for a model that `build` did not make, which `load` could not build again.
    """
    metadata = getattr(model, "metadata", None)
    if metadata is None:
        return None
    if metadata.classes != classes:
        metadata = metadata.with_classes(classes)
    return dataclasses.replace(metadata, name=None, licence=None, tile_size=recipe.crop)


def _fit(
    model: keras.Model,
    dataset: tf.data.Dataset,
    recipe: Recipe,
    first: int,
    epochs: int,
    length: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Trains from step `first` on."""

    def batches(workers: int, worker: int) -> tf.data.Dataset:
        return _batches(model, dataset, recipe, start_step=first, workers=workers, worker=worker)

    with defer_ema_finalize(model), deterministic_gradients():
        model.fit(
            distributed(strategy_of(model), batches),
            epochs=epochs,
            steps_per_epoch=length,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )


def _batches(
    model: keras.Model, dataset: tf.data.Dataset, recipe: Recipe, **changed: Any
) -> tf.data.Dataset:
    """The training batches of a recipe, with other arguments of `training_batches` if given."""
    metadata = getattr(model, "metadata", None)
    fields = ("batch_size", "crop", "seed", "base_size", "scale_range", "rotate", "augmentation")
    arguments = {name: getattr(recipe, name) for name in fields}
    arguments["mean"] = metadata.mean if metadata is not None else None
    return training_batches(dataset, **{**arguments, **changed})


def fit_segments(start: int, steps: int, every: int) -> list[tuple[int, int, int]]:
    """Calls of `fit` whose epochs end at every multiple of `every` and at `steps`.

    Returns:
        List of `(first step, epochs, steps per epoch)`: the rest of an interrupted epoch, the
        whole epochs, and the remaining steps.
    """
    calls = []
    while start < steps:
        if start % every == 0 and steps - start >= every:
            length, epochs = every, (steps - start) // every
        else:
            length, epochs = min(every - start % every, steps - start), 1
        calls.append((start, epochs, length))
        start += epochs * length
    return calls
