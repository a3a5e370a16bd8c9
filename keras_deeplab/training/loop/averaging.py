"""The moving average of the weights that an optimizer keeps (`use_ema`), where it is wanted."""

import contextlib

import keras


def base_optimizer(model):
    """The optimizer of a compiled model, without the loss scaling that wraps it for float16."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


@contextlib.contextmanager
def averaged_weights(model):
    """The model with the averages in place of its weights; as it is where none are kept."""
    _swap(model)
    try:
        yield
    finally:
        _swap(model)


def _swap(model):
    # keras.callbacks.SwapEMAWeights swaps by adding and subtracting, which changes the last bits.
    optimizer = base_optimizer(model)
    if not optimizer.use_ema:
        return
    averages = optimizer._model_variables_moving_average
    for variable, average in zip(model.trainable_variables, averages, strict=True):
        kept = keras.ops.convert_to_numpy(variable)
        variable.assign(keras.ops.convert_to_numpy(average))
        average.assign(kept)


@contextlib.contextmanager
def defer_ema_finalize(model):
    """Keeps `fit` from ending with averaged weights: the next call of it goes on from the last."""
    optimizer = base_optimizer(model)
    optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        del optimizer.finalize_variable_values
