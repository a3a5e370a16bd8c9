"""What a training run does, as one record."""

import dataclasses

import keras

from keras_deeplab.training.losses import SegmentationCrossentropy
from keras_deeplab.training.optimizers import PolynomialDecay, SGDWithL2


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a run. The defaults are the published ones, but for crop and batch.

    Args:
        steps: Optimizer steps.
        batch_size: Samples in a batch.
        crop: Side of a sample in pixels.
        optimizer: `"sgd"` (momentum 0.9, L2 in the gradient) or `"adamw"`.
        learning_rate: At step 0; it decays polynomially (power 0.9) to `end_learning_rate`.
        end_learning_rate: At the last step.
        warmup: Steps over which the rate first rises from 0.
        weight_decay: L2 factor of SGD, decoupled decay of AdamW.
        class_weights: One loss factor per class, or `None`.
        scale: Long and short side that ratio 1 resizes to, or `None` for the image's own size.
        scales: Lowest and highest resize ratio of the augmentation.
        rotate: Whether samples are turned by right angles; the published training does not.
        augmentation: `"published"`, or `"strong"` for jittered resize and RandAugment on top.
        seed: Of data order, augmentation and dropout.
    """

    steps: int = 80_000
    batch_size: int = 16
    crop: int = 512
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    end_learning_rate: float = 1e-4
    warmup: int = 0
    weight_decay: float = 5e-4
    class_weights: tuple[float, ...] | None = None
    scale: tuple[int, int] | None = None
    scales: tuple[float, float] = (0.5, 2.0)
    rotate: bool = True
    augmentation: str = "published"
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "crop"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)!r}.")
        if self.optimizer not in ("sgd", "adamw"):
            raise ValueError(f"optimizer must be 'sgd' or 'adamw', got {self.optimizer!r}.")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError(f"scales must be two rising positive factors, got {self.scales!r}.")
        if self.scale is not None and min(self.scale) < 1:
            raise ValueError(f"scale must be two sides of 1 pixel or more, got {self.scale!r}.")
        if self.augmentation not in ("published", "strong"):
            raise ValueError(
                f"augmentation must be 'published' or 'strong', got {self.augmentation!r}."
            )


def compile_for_training(model, recipe):
    """Compiles a model with the loss, optimizer and schedule of a recipe.

    Args:
        model: Model of `keras_deeplab.build` or `load`, without activation. With an auxiliary
            head its loss counts 0.4.
        recipe: `Recipe`.

    Returns:
        The model, ready for `model.fit` on `(image, label)` batches.
    """
    schedule = PolynomialDecay(
        recipe.learning_rate, recipe.steps, end=recipe.end_learning_rate, warmup=recipe.warmup
    )
    if recipe.optimizer == "sgd":
        optimizer = SGDWithL2(schedule, l2=recipe.weight_decay)
    else:
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    # XLA would bypass oneDNN's convolutions, which are the fast ones on a CPU.
    model.compile(optimizer, SegmentationCrossentropy(recipe.class_weights), jit_compile=False)
    return model
