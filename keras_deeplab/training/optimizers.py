"""Optimizer and learning rate of the published recipe."""

import keras


@keras.saving.register_keras_serializable("keras_deeplab")
class PolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`(initial - end) * (1 - step / steps) ** power + end`, with an optional linear warm-up.

    Args:
        initial: Learning rate at step 0 (after the warm-up).
        steps: Steps until `end`.
        power: Exponent; 0.9 in the reference.
        end: Lowest learning rate; 1e-4 in the reference.
        warmup: Steps over which the rate rises linearly from 0; none in the reference.
    """

    def __init__(self, initial, steps, power=0.9, end=1e-4, warmup=0):
        self.initial = float(initial)
        self.steps = int(steps)
        self.power = float(power)
        self.end = float(end)
        self.warmup = int(warmup)

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        left = keras.ops.maximum(1.0 - step / self.steps, 0.0)
        rate = (self.initial - self.end) * left**self.power + self.end
        if self.warmup:
            rate = rate * keras.ops.minimum((step + 1.0) / self.warmup, 1.0)
        return rate

    def get_config(self):
        return {
            "initial": self.initial,
            "steps": self.steps,
            "power": self.power,
            "end": self.end,
            "warmup": self.warmup,
        }


@keras.saving.register_keras_serializable("keras_deeplab")
class SGDWithL2(keras.optimizers.SGD):
    """SGD that adds `l2 * variable` to the gradient of every parameter, as PyTorch's does.

    Keras's `weight_decay` shrinks the variables outside of momentum and learning-rate history,
    which is about ten times weaker at momentum 0.9.

    Args:
        learning_rate: Rate or schedule.
        momentum: 0.9 in the reference.
        l2: Factor on the variable; 5e-4 in the reference.
    """

    def __init__(self, learning_rate=0.01, momentum=0.9, l2=5e-4, **kwargs):
        super().__init__(learning_rate=learning_rate, momentum=momentum, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        decay = self.l2 * keras.ops.cast(keras.ops.convert_to_tensor(variable), gradient.dtype)
        gradient = gradient + decay
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
