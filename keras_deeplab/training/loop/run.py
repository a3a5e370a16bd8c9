"""A training run from a recipe to a folder of results: `keras_deeplab.train`."""

import contextlib

from keras_deeplab.data.augmentation.batches import training_batches
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.training.callbacks import MeanIoU
from keras_deeplab.training.distributed.multiworker_fit import patch_fit
from keras_deeplab.training.distributed.strategies import (
    among_workers,
    distributed,
    is_chief,
    strategy_of,
    worker_share,
)
from keras_deeplab.training.loop.averaging import base_optimizer, defer_ema_finalize
from keras_deeplab.training.loop.deterministic import deterministic_gradients
from keras_deeplab.training.loop.epoch_end import Patience, Validation, end_epoch
from keras_deeplab.training.loop.interruption import Interruption
from keras_deeplab.training.loop.progress import ProgressBar
from keras_deeplab.training.loop.run_folder import RunFolder
from keras_deeplab.training.loop.tensorboard import TensorBoardLog
from keras_deeplab.training.recipe import compile_for_training, get_recipe


def train(
    model,
    dataset,
    *,
    recipe,
    output,
    classes,
    validation=None,
    validate_every=250,
    save_every=50,
    resume=False,
    callbacks=(),
):
    """Trains a model with a recipe and writes weights, history, curve and events to a folder.

    SIGTERM and Ctrl-C end the run after the step at hand and save it. A model that was built under
    the scope of a `tf.distribute` strategy is trained under it; of several workers the chief
    writes, and all read, the same folder.

    Args:
        model: Model of `keras_deeplab.build` or `load`, without activation.
        dataset: Finite `tf.data.Dataset` of `(image, label)`, as `data.from_folder` gives it.
        recipe: `Recipe`, or the name of one.
        output: Folder for `last.weights.h5`, `best.weights.h5`, `history.csv`, `curve.png` and
            `tensorboard`.
        classes: `ClassTable`, or a list of class names.
        validation: Dataset whose mIoU chooses the best weights, or `None` for no best weights.
        validate_every: Steps between two validations.
        save_every: Steps between two `last.weights.h5`.
        resume: Whether to continue the run in `output`, exactly where it was last saved.
        callbacks: Further Keras callbacks. An epoch is what lies between two validations; the
            `loss` in their logs is that of the last batch.

    Returns:
        The rows of the history, a list of dicts. The model is left with its last weights, or with
        their average where the recipe keeps one.

    Raises:
        ValueError: When `output` holds a run and `resume` is false, or there is none to resume.
        NonFinite: When the loss or a weight becomes NaN or infinite; names the step.
        Interrupted: After SIGTERM or Ctrl-C; a `KeyboardInterrupt`.
        ConnectionError: When another worker is gone.
    """
    recipe = get_recipe(recipe)
    classes = classes if isinstance(classes, ClassTable) else ClassTable(tuple(classes))
    compile_for_training(model, recipe)
    strategy = strategy_of(model)
    chief = is_chief(strategy)
    if worker_share(strategy) != (1, 0):
        patch_fit(model)
    with among_workers(strategy), Interruption(listen=chief) as interruption:
        folder = RunFolder(output, save_every=save_every, writes=chief, interruption=interruption)
        _check_folder(folder, resume)
        start = folder.restore(model) if resume else 0
        patience = Patience(folder.history, recipe.patience)
        callbacks = [folder, patience, *callbacks]
        scores = None
        if validation is not None:
            scores = MeanIoU(validation, len(classes), flip=True)
            callbacks.insert(0, Validation(scores, interruption))
        with contextlib.ExitStack() as shown:
            if chief:
                events = TensorBoardLog(
                    output, classes, scores=scores, samples=validation or (), step=start
                )
                bar = ProgressBar(recipe.steps, start)
                callbacks += [shown.enter_context(contextlib.closing(c)) for c in (events, bar)]
            if folder.validation_due:
                end_epoch(model, callbacks)
            for first, epochs, length in fit_segments(start, recipe.steps, validate_every):
                if patience.is_over():
                    break
                _fit(model, dataset, recipe, first, epochs, length, callbacks)
    base_optimizer(model).finalize_variable_values(model.trainable_variables)
    return folder.history.rows


def _check_folder(folder, resume):
    if resume != folder.last.exists():
        raise ValueError(
            f"{folder.folder} holds no run to resume ({folder.last.name} is missing)."
            if resume
            else f"{folder.folder} already holds a run: resume it or choose another folder."
        )


def _fit(model, dataset, recipe, first, epochs, length, callbacks):
    """Trains from step `first` on."""

    def batches(workers, worker):
        return training_batches(
            dataset,
            batch_size=recipe.batch_size,
            crop=recipe.crop,
            seed=recipe.seed,
            start_step=first,
            workers=workers,
            worker=worker,
            base_size=recipe.base_size,
            scale_range=recipe.scale_range,
            rotate=recipe.rotate,
            augmentation=recipe.augmentation,
        )

    with defer_ema_finalize(model), deterministic_gradients():
        model.fit(
            distributed(strategy_of(model), batches),
            epochs=epochs,
            steps_per_epoch=length,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        )


def fit_segments(start, steps, every):
    """Calls of `fit` that end an epoch at every multiple of `every` and at `steps`.

    Returns:
        List of `(first step, epochs, steps per epoch)`: the rest of an interrupted epoch, the
        whole epochs, and what remains after them.
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
