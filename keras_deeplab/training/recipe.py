"""What a training run does, as one record, and the records that have a name."""

import contextlib
import dataclasses

import keras

from keras_deeplab.training.losses import make_loss
from keras_deeplab.training.optimizers import AdamW, PolynomialDecay, SGDWithL2

BACKBONE = "backbone-"  # what the names of its layers begin with
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")  # of the backbone, from the image on
CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("poly", "cosine"),
    "divide_by": ("all", "valid"),
    "augmentation": ("published", "strong"),
    "freeze": (None, *STAGES[:-1], "backbone"),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a run. The defaults are the published ones, but for `rotate`.

    Args:
        steps: Batches to train on.
        batch_size: Samples in a batch, those of all devices and workers together.
        crop: Side of a sample in pixels.
        optimizer: `"sgd"` (momentum 0.9, L2 in the gradient) or `"adamw"`.
        learning_rate: At step 0, or after the warm-up.
        end_learning_rate: At the last step.
        schedule: `"poly"` (power 0.9) or `"cosine"`.
        warmup: Steps over which the rate first rises from 0.
        weight_decay: L2 factor of SGD, decoupled decay of AdamW.
        backbone_lr_factor: Factor on the learning rate of the backbone.
        clip_norm: Largest norm of all gradients of a device together, or `None`.
        accumulate: Batches whose gradients are averaged for one update. Steps, warm-up and
            averages go on counting batches.
        ema: Momentum of the moving average of the weights that is validated and published, such as
            0.999, or `None` for the weights themselves.
        loss: Losses by name with their weights: `"crossentropy"`, `"ohem"`, `"focal"`, `"dice"`,
            `"lovasz"`.
        class_weights: One factor per class on the losses of pixels, or `None`.
        divide_by: `"all"` pixels, as published, or the `"valid"` ones alone.
        freeze: Last part of the backbone that is not trained: `"stem"`, `"layer1"`, `"layer2"`,
            `"layer3"` or all of the `"backbone"`. `None` trains everything.
        freeze_batch_norm: Whether batch norm keeps its statistics and factors: for batches too
            small to have statistics of their own.
        patience: Validations without a better mIoU after which the run ends, or `None`.
        base_size: Long and short side that ratio 1 resizes to, or `None` for the image's own size.
        scale_range: Lowest and highest resize ratio of the augmentation.
        rotate: Whether samples are turned by right angles; the published training does not.
        augmentation: `"published"`, or `"strong"` for jittered resize and RandAugment on top.
        seed: Of data order, augmentation and dropout.

    Raises:
        ValueError: For a value out of its range; names it.
    """

    steps: int = 80_000
    batch_size: int = 16
    crop: int = 512
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    end_learning_rate: float = 1e-4
    schedule: str = "poly"
    warmup: int = 0
    weight_decay: float = 5e-4
    backbone_lr_factor: float = 1.0
    clip_norm: float | None = None
    accumulate: int = 1
    ema: float | None = None
    loss: dict[str, float] = dataclasses.field(default_factory=lambda: {"crossentropy": 1.0})
    class_weights: tuple[float, ...] | None = None
    divide_by: str = "all"
    freeze: str | None = None
    freeze_batch_norm: bool = False
    patience: int | None = None
    base_size: tuple[int, int] | None = None
    scale_range: tuple[float, float] = (0.5, 2.0)
    rotate: bool = True
    augmentation: str = "published"
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "crop", "accumulate", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value!r}.")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                known = " or ".join(map(repr, choices))
                raise ValueError(f"{name} must be {known}, got {getattr(self, name)!r}.")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(
                f"scale_range must be two rising positive factors, got {self.scale_range!r}."
            )
        if self.base_size is not None and min(self.base_size) < 1:
            raise ValueError(
                f"base_size must be two sides of 1 pixel or more, got {self.base_size!r}."
            )
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must lie between 0 and 1, got {self.ema!r}.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be positive, got {self.clip_norm!r}.")
        if self.accumulate > 1 and self.steps % self.accumulate:
            raise ValueError(
                f"steps {self.steps} must be a multiple of accumulate {self.accumulate}: the last "
                "batches would change nothing."
            )
        make_loss(self.loss)


RECIPES = {
    # mmsegmentation's schedule_80k with 4 x 4 samples, as behind its DeepLabV3+ table.
    "published_80k": Recipe(rotate=False),
    # From trained weights to a few hundred images of one's own, on one device.
    "finetune": Recipe(
        steps=4_000,
        batch_size=4,
        optimizer="adamw",
        learning_rate=2e-4,
        end_learning_rate=1e-6,
        schedule="cosine",
        warmup=200,
        weight_decay=0.01,
        backbone_lr_factor=0.1,
        clip_norm=1.0,
        ema=0.99,
        freeze_batch_norm=True,
    ),
}
# The same where there are only a handful, or no time: the backbone stays as it is.
RECIPES["finetune_heads"] = dataclasses.replace(
    RECIPES["finetune"],
    steps=1_000,
    learning_rate=1e-3,
    end_learning_rate=1e-5,
    warmup=50,
    backbone_lr_factor=1.0,
    freeze="backbone",
)


def get_recipe(recipe):
    """The `Recipe` of a name, or the one given."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(f"Unknown recipe {recipe!r}: choose one of {', '.join(RECIPES)}.")
    return RECIPES[recipe]


def compile_for_training(model, recipe):
    """Compiles a model with the loss, optimizer and schedule of a recipe.

    Args:
        model: Model of `keras_deeplab.build` or `load`, without activation. With an auxiliary
            head its loss counts 0.4. The layers that the recipe freezes become untrainable.
        recipe: `Recipe`, or the name of one: `"published_80k"`, `"finetune"`, `"finetune_heads"`.

    Returns:
        The model, ready for `model.fit` on `(image, label)` batches.
    """
    recipe = get_recipe(recipe)
    freeze(model, recipe.freeze, recipe.freeze_batch_norm)
    with strategy_scope(model):
        loss = make_loss(
            recipe.loss, class_weights=recipe.class_weights, divide_by=recipe.divide_by
        )
        # XLA would bypass oneDNN's convolutions, which are the fast ones on a CPU.
        model.compile(make_optimizer(recipe), loss, jit_compile=False)
    return model


def strategy_scope(model):
    """Scope of the `tf.distribute` strategy that the model was built under."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return contextlib.nullcontext()


def make_optimizer(recipe):
    """The optimizer of a recipe with its schedule."""
    settings = {
        "rate_factors": {}
        if recipe.backbone_lr_factor == 1
        else {BACKBONE: recipe.backbone_lr_factor},
        "global_clipnorm": recipe.clip_norm,
        "gradient_accumulation_steps": recipe.accumulate if recipe.accumulate > 1 else None,
        "use_ema": recipe.ema is not None,
        "ema_momentum": recipe.ema or 0.99,  # Keras wants a number even where it is not used
    }
    if recipe.optimizer == "sgd":
        return SGDWithL2(make_schedule(recipe), l2=recipe.weight_decay, **settings)
    return AdamW(make_schedule(recipe), weight_decay=recipe.weight_decay, **settings)


def make_schedule(recipe):
    """The learning rate of a recipe over its steps."""
    first, last = recipe.learning_rate, recipe.end_learning_rate
    if recipe.schedule == "poly":
        return PolynomialDecay(first, recipe.steps, end=last, warmup=recipe.warmup)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if recipe.warmup else first,
        max(recipe.steps - recipe.warmup, 1),
        alpha=last / first,
        warmup_target=first if recipe.warmup else None,
        warmup_steps=recipe.warmup,
    )


def freeze(model, until, batch_norm):
    """Excludes layers from training; what is frozen already stays so.

    Args:
        model: Model of `keras_deeplab.build`.
        until: `Recipe.freeze`.
        batch_norm: Whether every batch norm is frozen.
    """
    stages = STAGES if until in (None, "backbone") else STAGES[: STAGES.index(until) + 1]
    frozen = () if until is None else tuple(f"{BACKBONE}{stage}" for stage in stages)
    for layer in model.layers:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        if layer.name.startswith(frozen) or (batch_norm and is_norm):
            layer.trainable = False
