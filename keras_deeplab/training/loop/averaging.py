"""The moving average of the weights that an optimizer keeps with `use_ema`."""

import contextlib
from collections.abc import Iterator

import keras


def base_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a compiled model without the `LossScaleOptimizer` around it for float16."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Swaps in the averaged weights for the block; does nothing without `use_ema`."""
    _swap(model)
    try:
        yield
    finally:
        _swap(model)


def _swap(model: keras.Model) -> None:
    # keras.callbacks.SwapEMAWeights swaps by addition and subtraction, which changes the last bits.
    optimizer = base_optimizer(model)
    if not optimizer.use_ema:
        return
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        kept = keras.ops.convert_to_numpy(variable)
        variable.assign(keras.ops.convert_to_numpy(average))
        average.assign(kept)


@contextlib.contextmanager
def defer_ema_finalize(model: keras.Model) -> Iterator[None]:
    """Keeps `fit` from ending with averaged weights, so that the next call continues training."""
    optimizer = base_optimizer(model)
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values
