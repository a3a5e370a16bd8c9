"""The replicas of `tf.distribute` that compute one step together."""

from typing import Any

import keras


def replica_context() -> Any:
    """`tf.distribute.ReplicaContext` of a step that several replicas share.

    Returns:
        The context, or `None`: on one device, outside of a step, and on backends other than
        TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None


def sum_over_replicas(values: Any) -> Any:
    """Sums of a tensor or list of tensors over the replicas; the values themselves on one."""
    context = replica_context()
    return values if context is None else context.all_reduce("SUM", values)


def gather_over_replicas(value: Any) -> Any:
    """Tensor `(replicas, ...)` of what every replica has, in one reduction of a small tensor."""
    context = replica_context()
    if context is None:
        return value[None]
    own = keras.ops.one_hot(
        context.replica_id_in_sync_group, context.num_replicas_in_sync, dtype=value.dtype
    )
    return sum_over_replicas(keras.ops.tensordot(own, value, axes=0))
