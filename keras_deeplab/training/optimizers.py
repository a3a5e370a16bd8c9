"""Optimizers and learning-rate schedule of the recipes."""

import contextlib
from collections.abc import Mapping
from typing import Any

import keras

from keras_deeplab.training.distributed.updates import OverReplicas


@keras.saving.register_keras_serializable("keras_deeplab")
class PolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`(initial - end) * (1 - step / steps) ** power + end`, with an optional linear warm-up.

    Args:
        initial: Learning rate at step 0 (after the warm-up).
        steps: Steps until `end`.
        power: Exponent; 0.9 in the reference.
        end: Final learning rate; 1e-4 in the reference.
        warmup: Steps of the linear warm-up from 0; none in the reference.
    """

    def __init__(
        self,
        initial: float,
        steps: int,
        power: float = 0.9,
        end: float = 1e-4,
        warmup: int = 0,
    ) -> None:
        self.initial = float(initial)
        self.steps = int(steps)
        self.power = float(power)
        self.end = float(end)
        self.warmup = int(warmup)

    def __call__(self, step: Any) -> Any:
        # The 24 bits of float32 would round the step, its share of all steps and the power of that.
        step = keras.ops.cast(step, "float32" if keras.backend.backend() == "jax" else "float64")
        left = keras.ops.maximum(1.0 - step / self.steps, 0.0)
        rate = (self.initial - self.end) * left**self.power + self.end
        if self.warmup:
            rate = rate * keras.ops.minimum((step + 1.0) / self.warmup, 1.0)
        return keras.ops.cast(rate, "float32")

    def get_config(self) -> dict[str, Any]:
        return {
            "initial": self.initial,
            "steps": self.steps,
            "power": self.power,
            "end": self.end,
            "warmup": self.warmup,
        }


def _after(gradient: Any) -> contextlib.AbstractContextManager[Any]:
    """Makes TensorFlow compute what is in the `with` block when a gradient is known.

    It would compute the terms without a gradient, each of the size of the weights, at the start of
    the step, and keep them until its end.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies([gradient])


class _RateFactors(keras.optimizers.Optimizer):
    """Mixin for optimizers: learning rates that differ between layers."""

    rate_factors: dict[str, float]

    def rate_factor(self, variable: keras.Variable) -> float:
        """Factor on the learning rate of a variable, by the prefix of its path."""
        path = self._trainable_variables[self._get_variable_index(variable)].path
        factors = (rate for start, rate in self.rate_factors.items() if path.startswith(start))
        return next(factors, 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate_factors": dict(self.rate_factors)}


@keras.saving.register_keras_serializable("keras_deeplab")
class SGDWithL2(_RateFactors, OverReplicas, keras.optimizers.SGD):
    """PyTorch's SGD: `g += l2 * w; v = momentum * v + g; w -= rate * v`, for every parameter.

    Keras's `weight_decay` shrinks the variables outside of the momentum, which is about ten times
    weaker at momentum 0.9, and Keras's velocity includes the learning rates of earlier steps.

    Args:
        learning_rate: Rate or schedule.
        momentum: 0.9 in the reference.
        l2: L2 factor of every variable; 5e-4 in the reference.
        rate_factors: Factors on the learning rate by prefix of a variable's path, for example
            `{"backbone-": 0.1}`.
        **kwargs: Arguments of `keras.optimizers.SGD`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01,
        momentum: float = 0.9,
        l2: float = 5e-4,
        rate_factors: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, momentum=momentum, **kwargs)
        self.l2 = l2
        self.rate_factors = dict(rate_factors or {})

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        rate = keras.ops.cast(learning_rate, variable.dtype) * self.rate_factor(variable)
        with _after(gradient):
            step = keras.ops.cast(gradient, variable.dtype) + self.l2 * variable
            if self.momentum:
                velocity = self.momentums[self._get_variable_index(variable)]
                step = self.momentum * velocity + step
                self.assign(velocity, step)
            self.assign_sub(variable, rate * step)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable("keras_deeplab")
class AdamW(_RateFactors, OverReplicas, keras.optimizers.AdamW):
    """Keras's AdamW with learning rates, and therefore decays, that differ between layers.

    Args:
        learning_rate: Rate or schedule.
        weight_decay: Decoupled weight decay.
        rate_factors: As in `SGDWithL2`.
        **kwargs: Arguments of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        rate_factors: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs)
        self.rate_factors = dict(rate_factors or {})

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        rate = keras.ops.cast(learning_rate, variable.dtype) * self.rate_factor(variable)
        with _after(gradient):
            if self._use_weight_decay(variable):
                self.assign_sub(variable, variable * self.weight_decay * rate)
            super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        pass  # update_step applies it with the rate of each layer
