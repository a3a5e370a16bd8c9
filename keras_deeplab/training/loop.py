"""A training run from a recipe to a folder of results: `keras_deeplab.train`."""

from keras_deeplab.data.batches import training_batches
from keras_deeplab.training.callbacks import MeanIoU
from keras_deeplab.training.progress import ProgressBar
from keras_deeplab.training.recipe import compile_for_training
from keras_deeplab.training.run_folder import RunFolder


def train(
    model,
    dataset,
    *,
    recipe,
    output,
    num_classes,
    validation=None,
    validate_every=250,
    save_every=50,
    resume=False,
):
    """Trains a model with a recipe and writes weights, history and curve to a folder.

    Args:
        model: Model of `keras_deeplab.build` or `load`, without activation.
        dataset: Finite `tf.data.Dataset` of `(image, label)`, as `data.from_folder` gives it.
        recipe: `Recipe`.
        output: Folder for `last.weights.h5`, `best.weights.h5`, `history.csv`, `curve.png`.
        num_classes: Number of classes of the model.
        validation: Dataset whose mIoU chooses the best weights, or `None` for no best weights.
        validate_every: Steps between two validations.
        save_every: Steps between two `last.weights.h5`.
        resume: Whether to continue the run in `output`, exactly where it was last saved.

    Returns:
        The rows of the history, a list of dicts.

    Raises:
        ValueError: When `output` holds a run and `resume` is false, or there is none to resume.
    """
    folder = RunFolder(output, save_every=save_every)
    if resume != folder.last.exists():
        raise ValueError(
            f"{folder.folder} holds no run to resume ({folder.last.name} is missing)."
            if resume
            else f"{folder.folder} already holds a run: resume it or choose another folder."
        )
    compile_for_training(model, recipe)
    start = folder.restore(model) if resume else 0
    if start >= recipe.steps:
        return folder.rows
    bar = ProgressBar(recipe.steps, start)
    callbacks = [] if validation is None else [MeanIoU(validation, num_classes, flip=True)]
    callbacks += [folder, bar]
    try:
        for first, epochs, length in stretches(start, recipe.steps, validate_every):
            batches = training_batches(
                dataset,
                batch_size=recipe.batch_size,
                crop=recipe.crop,
                seed=recipe.seed,
                start_step=first,
                scale=recipe.scale,
                scales=recipe.scales,
                rotate=recipe.rotate,
                augmentation=recipe.augmentation,
            )
            model.fit(
                batches,
                epochs=epochs,
                steps_per_epoch=length,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            )
    finally:
        bar.close()
    return folder.rows


def stretches(start, steps, every):
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
