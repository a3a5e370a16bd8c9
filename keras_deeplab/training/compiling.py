"""Compiling a model with a recipe: its loss, optimizer, schedule and frozen layers."""

import contextlib
from collections.abc import Collection
from typing import Any

import keras

from keras_deeplab.models.variants import BACKBONE_LAYERS
from keras_deeplab.training.distributed.updates import LossScaleOptimizer
from keras_deeplab.training.freezing import check_batch, layers_to_freeze, set_frozen
from keras_deeplab.training.losses import make_loss
from keras_deeplab.training.optimizers import AdamW, PolynomialDecay, SGDWithL2
from keras_deeplab.training.recipe import Recipe, get_recipe


def compile_for_training(model: keras.Model, recipe: Recipe | str) -> keras.Model:
    """Compiles a model with the loss, optimizer and schedule of a recipe.

    Args:
        model: Model of `keras_deeplab.build` or `load`, without activation. The loss of an
            auxiliary head has weight 0.4. The recipe decides which layers are trainable: `freeze`
            and `freeze_batch_norm` freeze layers with trained weights, all others are trained.
        recipe: `Recipe`, or its name: `"published_80k"`, `"finetune"`, `"finetune_heads"`.

    Returns:
        The model, ready for `model.fit` on `(image, label)` batches. `patience`, and what makes
        the batches (`batch_size`, `crop`, augmentation), are up to the caller of `fit`.

    Raises:
        ValueError: When the recipe would freeze random weights, or its batch would leave batch
            norm a single value.
    """
    recipe = get_recipe(recipe)
    return compile_frozen(model, recipe, frozen_by(model, recipe))


def frozen_by(model: keras.Model, recipe: Recipe) -> set[str]:
    """Names of the layers that a recipe freezes; a `ValueError` when they do not go with it."""
    frozen = layers_to_freeze(model, recipe.freeze, recipe.freeze_batch_norm)
    check_batch(model, recipe.batch_size, frozen)
    return frozen


def compile_frozen(model: keras.Model, recipe: Recipe, frozen: Collection[str]) -> keras.Model:
    """Compiles a model with a recipe; exactly the layers with these names are frozen."""
    set_frozen(model, frozen)
    with strategy_scope(model):
        loss = make_loss(
            recipe.loss,
            class_weights=recipe.class_weights,
            divide_by=recipe.divide_by,
            ohem_min_kept=recipe.ohem_min_kept,
        )
        optimizer = make_optimizer(recipe)
        if model.dtype_policy.name == "mixed_float16":
            optimizer = LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        # XLA would bypass the convolutions of oneDNN, which are faster on CPUs.
        model.compile(optimizer, loss, jit_compile=False)
    return model


def strategy_scope(model: keras.Model) -> contextlib.AbstractContextManager[Any]:
    """Scope of the `tf.distribute` strategy that the model was built under."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return contextlib.nullcontext()


def make_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe with its learning-rate schedule."""
    settings: dict[str, Any] = {
        "rate_factors": {}
        if recipe.backbone_lr_factor == 1
        else {BACKBONE_LAYERS: recipe.backbone_lr_factor},
        "global_clipnorm": recipe.clip_norm,
        "gradient_accumulation_steps": recipe.accumulate if recipe.accumulate > 1 else None,
        "use_ema": recipe.ema is not None,
        "ema_momentum": recipe.ema or 0.99,  # Keras requires a number even when it is unused
    }
    if recipe.optimizer == "sgd":
        return SGDWithL2(make_schedule(recipe), l2=recipe.weight_decay, **settings)
    return AdamW(make_schedule(recipe), weight_decay=recipe.weight_decay, **settings)


def make_schedule(recipe: Recipe) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning-rate schedule of a recipe."""
    first, last = recipe.learning_rate, recipe.final_learning_rate
    steps, warmup = recipe.steps, recipe.warmup_steps
    if recipe.schedule == "poly":
        return PolynomialDecay(first, steps, end=last, warmup=warmup)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else first,
        steps - warmup,
        alpha=last / first,
        warmup_target=first if warmup else None,
        warmup_steps=warmup,
    )
