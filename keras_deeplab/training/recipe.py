"""Training recipes: hyperparameters of a run, and named recipes."""

import dataclasses
import math
from typing import Any

from keras_deeplab._internal.errors import InputError
from keras_deeplab.models.variants import STAGES
from keras_deeplab.training.losses import make_loss

DECAY = 100  # of the learning rate, where no end is given: from 0.01 to 1e-4 as published
CHOICES: dict[str, tuple[str | None, ...]] = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("poly", "cosine"),
    "divide_by": ("all", "valid"),
    "augmentation": ("published", "strong", "sensor"),
    "freeze": (None, *STAGES[:-1], "backbone"),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a run. The defaults are the published ones, except for `rotate`.

    Args:
        steps: Batches to train on.
        batch_size: Samples per batch over all devices and workers.
        crop: Side of a sample in pixels.
        optimizer: `"sgd"` (momentum 0.9, L2 in the gradient) or `"adamw"`.
        learning_rate: Learning rate at step 0, or after the warm-up.
        end_learning_rate: Learning rate at the last step; `None` for a hundredth of
            `learning_rate`, as published.
        schedule: Learning-rate schedule: `"poly"` (power 0.9) or `"cosine"`.
        warmup: Steps of the linear warm-up from 0; below 1 their share of all steps.
        weight_decay: L2 factor of SGD, decoupled weight decay of AdamW.
        backbone_lr_factor: Factor on the learning rate of the backbone.
        clip_norm: Maximum global norm of the gradient of an update, or `None`.
        accumulate: Batches whose gradients are averaged for one update. Steps, warm-up and
            moving averages still count batches.
        ema: Momentum of the moving average of the weights that is validated and published, for
            example 0.999, or `None` for the weights themselves.
        loss: Losses by name with their weights: `"crossentropy"`, `"ohem"`, `"focal"`, `"dice"`,
            `"lovasz"`.
        ohem_min_kept: Minimum number of pixels that `"ohem"` keeps, per sample on average; `None`
            for 38.1 % of the pixels of a sample: 100,000 of 512 x 512, as in the reference.
        class_weights: One factor per class for the losses per pixel, or `None`.
        divide_by: Average the loss over `"all"` pixels, as published, or only `"valid"` ones.
        freeze: Last frozen part of the backbone: `"stem"`, `"layer1"`, `"layer2"`, `"layer3"`, or
            the whole `"backbone"`. `None` freezes none of them.
        freeze_batch_norm: Whether to freeze statistics and weights of trained batch norms, for
            batches that are too small for statistics. Those of fresh heads are trained.
        precise_bn: Batches at resize ratio 1 from which batch norm statistics are computed before
            each validation and at the end, or `None` to keep the moving averages of the training.
        patience: Validations without a better mIoU before `train` stops, or `None`.
        base_size: Long and short side at resize ratio 1, or `None` for the size of the image.
        scale_range: Lowest and highest resize ratio of the augmentation.
        rotate: Whether to rotate samples by multiples of 90 degrees; the published training does
            not.
        augmentation: `"published"`; with `"strong"`, jittered resize and RandAugment on top; with
            `"sensor"`, blur, gamma, colour balance and JPEG artefacts on top.
        seed: Seed of data order, augmentation and dropout.

    Raises:
        ValueError: When a value is out of range; names the field.
    """

    steps: int = 80_000
    batch_size: int = 16
    crop: int = 512
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    end_learning_rate: float | None = None
    schedule: str = "poly"
    warmup: float = 0
    weight_decay: float = 5e-4
    backbone_lr_factor: float = 1.0
    clip_norm: float | None = None
    accumulate: int = 1
    ema: float | None = None
    loss: dict[str, float] = dataclasses.field(default_factory=lambda: {"crossentropy": 1.0})
    ohem_min_kept: int | None = None
    class_weights: tuple[float, ...] | None = None
    divide_by: str = "all"
    freeze: str | None = None
    freeze_batch_norm: bool = False
    precise_bn: int | None = None
    patience: int | None = None
    base_size: tuple[int, int] | None = None
    scale_range: tuple[float, float] = (0.5, 2.0)
    rotate: bool = True
    augmentation: str = "published"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "crop", "accumulate", "precise_bn", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be 1 or more, got {value!r}.")
        for name in ("learning_rate", "backbone_lr_factor", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} must be positive, got {value!r}.")
        for name in ("end_learning_rate", "weight_decay", "warmup"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise InputError(f"{name} must be 0 or more, got {value!r}.")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                known = " or ".join(map(repr, choices))
                raise InputError(f"{name} must be {known}, got {getattr(self, name)!r}.")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise InputError(
                f"scale_range must be two positive factors in ascending order, got "
                f"{self.scale_range!r}."
            )
        if self.base_size is not None and min(self.base_size) < 1:
            raise InputError(
                f"base_size must be two lengths of 1 pixel or more, got {self.base_size!r}."
            )
        if self.ema is not None and not 0 < self.ema < 1:
            raise InputError(f"ema must be strictly between 0 and 1, got {self.ema!r}.")
        if self.accumulate > 1 and self.steps % self.accumulate:
            raise InputError(
                f"steps must be a multiple of accumulate {self.accumulate}, got {self.steps}: the "
                "last batches would not update the weights."
            )
        make_loss(self.loss, class_weights=self.class_weights, ohem_min_kept=self.ohem_min_kept)
        if self.ohem_min_kept is not None and self.ohem_min_kept >= self.crop**2:
            raise InputError(
                f"ohem_min_kept must be below the {self.crop**2} pixels of a sample (crop "
                f"{self.crop}), got {self.ohem_min_kept}: all would be kept."
            )
        self._check_schedule()

    def _check_schedule(self) -> None:
        if self.warmup >= 1 and self.warmup % 1:
            raise InputError(f"warmup must be whole steps or a share below 1, got {self.warmup!r}.")
        if self.warmup_steps >= self.steps:
            raise InputError(
                f"warmup must be shorter than the {self.steps} steps, got {self.warmup!r}. A value "
                "below 1 is a share of the steps."
            )
        if self.final_learning_rate > self.learning_rate:
            raise InputError(
                f"end_learning_rate {self.end_learning_rate:g} (--end-lr) is above learning_rate "
                f"{self.learning_rate:g} (--lr): the rate would rise. Leave it out for a hundredth "
                "of the learning rate."
            )

    @property
    def final_learning_rate(self) -> float:
        """Learning rate at the last step, as a number."""
        if self.end_learning_rate is None:
            return self.learning_rate / DECAY
        return self.end_learning_rate

    @property
    def warmup_steps(self) -> int:
        """Length of the warm-up in steps."""
        return round(self.warmup * self.steps) if self.warmup < 1 else int(self.warmup)

    def resolved(self) -> dict[str, Any]:
        """The fields with the numbers that `None` and shares stand for."""
        numbers = {"end_learning_rate": self.final_learning_rate, "warmup": self.warmup_steps}
        return {**dataclasses.asdict(self), **numbers}


RECIPES = {
    # mmsegmentation's schedule_80k with 4 x 4 samples, as for its DeepLabV3+ results table.
    "published_80k": Recipe(rotate=False),
    # Fine-tuning of trained weights on a few hundred images, on one device.
    "finetune": Recipe(
        steps=4_000,
        batch_size=4,
        optimizer="adamw",
        learning_rate=2e-4,
        schedule="cosine",
        warmup=0.05,
        weight_decay=0.01,
        backbone_lr_factor=0.1,
        clip_norm=1.0,
        ema=0.99,
        freeze_batch_norm=True,
    ),
}
# For a handful of images, or little time: the whole backbone is frozen.
RECIPES["finetune_heads"] = dataclasses.replace(
    RECIPES["finetune"],
    steps=1_000,
    learning_rate=1e-3,
    backbone_lr_factor=1.0,
    freeze="backbone",
)


def get_recipe(recipe: Recipe | str) -> Recipe:
    """The `Recipe` with a name; a `Recipe` is returned as it is."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise InputError(f"Unknown recipe {recipe!r}: choose one of {', '.join(RECIPES)}.")
    return RECIPES[recipe]
