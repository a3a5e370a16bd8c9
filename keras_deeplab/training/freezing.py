"""What a recipe freezes: layers whose weights come from a training, and no others."""

from collections.abc import Collection

import keras
import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab.checkpoints.fresh import fresh_layers
from keras_deeplab.models.variants import STAGES, stage_prefixes

IMAGE_POOL_NORM = "decode_head-image_pool-1-bn"
TRAINED_WEIGHTS = "trained weights: --init, keras_deeplab.load or load_weights"


def layers_to_freeze(model: keras.Model, until: str | None, batch_norm: bool) -> set[str]:
    """Names of the layers that a recipe freezes.

    A batch norm that was never trained is not frozen: its statistics would stay 0 and 1. Neither
    is a first convolution that `init_weights` could not set, until it is trained.

    Args:
        model: Model of `keras_deeplab.build`.
        until: `Recipe.freeze`.
        batch_norm: `Recipe.freeze_batch_norm`.

    Raises:
        ValueError: When these are random weights.
    """
    part = {layer.name for layer in model.layers if layer.name.startswith(_prefixes(model, until))}
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    fresh = {norm.name for norm in norms if never_trained(norm)}
    if part & fresh:
        raise InputError(
            f"freeze={until!r} would keep random weights: the backbone was never trained. Start "
            f'from {TRAINED_WEIGHTS} (--init imagenet and weights="imagenet" suffice), or train '
            "everything (freeze=None)."
        )
    if batch_norm and norms and len(fresh) == len(norms):
        raise InputError(
            "freeze_batch_norm (--freeze-bn) has nothing to freeze: no batch norm of the model was "
            f"trained. Start from {TRAINED_WEIGHTS}, or train batch norm (--train-bn)."
        )
    trained_norms = {norm.name for norm in norms} - fresh if batch_norm else set()
    return (part - fresh_layers(model)) | trained_norms


def _prefixes(model: keras.Model, until: str | None) -> tuple[str, ...]:
    """Beginnings of the names of the layers up to a part of the backbone."""
    if until is None:
        return ()
    stages = STAGES if until == "backbone" else STAGES[: STAGES.index(until) + 1]
    prefixes = stage_prefixes(model.name)
    return tuple(prefix for stage in stages for prefix in prefixes[stage])


def never_trained(norm: keras.layers.BatchNormalization) -> bool:
    """Whether the statistics of a batch norm are those that it was built with."""
    mean, variance = map(keras.ops.convert_to_numpy, (norm.moving_mean, norm.moving_variance))
    return not np.any(mean) and bool(np.all(variance == 1))


def set_frozen(model: keras.Model, names: Collection[str]) -> None:
    """Freezes the layers with these names and makes all others trainable."""
    model.trainable = True
    for layer in model.layers:
        layer.trainable = layer.name not in names


def frozen_layers(model: keras.Model) -> list[str]:
    """Names of the layers with weights that are frozen."""
    return [layer.name for layer in model.layers if layer.weights and not layer.trainable]


def check_batch(model: keras.Model, batch_size: int, frozen: Collection[str]) -> None:
    """Refuses batches whose statistics are those of a single value.

    The batch norm after image pooling sees one value per channel and sample. PyTorch refuses such a
    batch ("Expected more than 1 value per channel when training").

    Args:
        model: Model of `keras_deeplab.build`, under the strategy that trains it.
        batch_size: Samples per batch over all devices.
        frozen: Names of the layers that the training freezes.
    """
    norm = next((layer for layer in model.layers if layer.name == IMAGE_POOL_NORM), None)
    if norm is None or norm.name in frozen:
        return
    strategy = getattr(model, "distribute_strategy", None)  # None on other backends
    devices = 1 if strategy is None else strategy.num_replicas_in_sync
    if batch_size // (1 if norm.synchronized else devices) >= 2:
        return
    ways = [f"Use a batch size of {2 if norm.synchronized else 2 * devices} or more"]
    if devices > 1 and not norm.synchronized:
        ways.append("share the statistics of all devices (sync_batch_norm=True)")
    ways.append(
        "freeze batch norm (freeze_batch_norm=True, --freeze-bn)"
        + (f" in a head with {TRAINED_WEIGHTS}; this head is fresh" if never_trained(norm) else "")
    )
    raise InputError(
        f"A batch of {batch_size} leaves batch norm one image: after image pooling its statistics "
        f"are those of a single value, which ruins the network. {', or '.join(ways)}."
    )
