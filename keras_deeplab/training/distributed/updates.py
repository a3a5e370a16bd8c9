"""Updates of the weights under `tf.distribute` that equal those of one device."""

from typing import Any

import keras

from keras_deeplab._internal.replicas import replica_context, sum_over_replicas


class OverReplicas(keras.optimizers.Optimizer):
    """Mixin for optimizers: sums the gradients of the replicas before it uses them.

    Keras sums them last: it clips the gradients of each replica, accumulates them per replica,
    where only those of the first are saved, and cannot accumulate under `MirroredStrategy`.
    """

    def _backend_apply_gradients(self, grads: list[Any], trainable_variables: list[Any]) -> None:
        apply = super()._backend_apply_gradients
        context = replica_context()
        if context is None:
            return apply(grads, trainable_variables)
        grads = sum_over_replicas(grads)
        if not (self.gradient_accumulation_steps and _updates_by_merging()):
            return apply(grads, trainable_variables)

        # Replicas cannot merge inside of a condition, which the accumulation is: merge before it.
        def apply_to_all(strategy: Any, grads: list[Any]) -> None:
            apply([strategy.experimental_local_results(g)[0] for g in grads], trainable_variables)

        return context.merge_call(apply_to_all, args=(grads,))

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars  # they are sums already

    def _backend_update_step(
        self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any
    ) -> None:
        if not _merged():
            return super()._backend_update_step(grads, trainable_variables, learning_rate)
        pairs = zip(grads, (variable.value for variable in trainable_variables), strict=True)
        self._distributed_tf_update_step(self._distribution_strategy, pairs, learning_rate)

    def _backend_increment_gradient_accumulators(
        self, grads: list[Any], acc_grads: list[Any]
    ) -> None:
        for accumulator, gradient in zip(acc_grads, grads, strict=True):
            accumulator.assign_add(gradient)


def _updates_by_merging() -> bool:
    """Whether the replicas update variables in a `merge_call`, as under `MirroredStrategy`."""
    import tensorflow as tf

    return not tf.__internal__.distribute.strategy_supports_no_merge_call()


def _merged() -> bool:
    """Whether this is one computation for all replicas, in a `merge_call`."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.in_cross_replica_context()


@keras.saving.register_keras_serializable("keras_deeplab")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling for float16, which skips a step when the gradients overflow.

    Keras looks at the gradients of the first replica, and of each worker on its own. It adds its
    variables once more when it is built again.
    """

    def build(self, var_list: list[Any]) -> None:
        if not self.built:
            super().build(var_list)

    def check_finite(self, grads: list[Any]) -> Any:
        overflows = keras.ops.logical_not(super().check_finite(grads))
        return keras.ops.equal(sum_over_replicas(keras.ops.cast(overflows, "float32")), 0)
