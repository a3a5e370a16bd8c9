"""Training on several devices and machines with `tf.distribute`."""

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_deeplab._internal.errors import InputError

STRATEGIES = ("none", "mirrored", "multiworker", "tpu")
TF_CONFIG_EXAMPLE = (
    '{"cluster": {"worker": ["host-a:12345", "host-b:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """Creates a strategy; create model and optimizer under its `scope()`.

    Args:
        name: `"none"`; `"mirrored"`, all GPUs of this machine, or without GPUs all logical CPU
            devices; `"multiworker"`, this process as one of the workers in the environment variable
            `TF_CONFIG`; or `"tpu"`, the TPU of this machine or of `TPU_NAME`, which is untested.
            Call it for `"multiworker"` before any TensorFlow computation, and in all processes: it
            waits for the others.

    Returns:
        The strategy, or `None` for `"none"`.

    Raises:
        ValueError: When `TF_CONFIG` is missing or invalid, or there is no TPU.
        RuntimeError: When TensorFlow is already in use and can no longer join a cluster.
    """
    if name not in STRATEGIES:
        raise InputError(f"strategy must be one of {', '.join(STRATEGIES)}, got {name!r}.")
    if name == "mirrored":
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices(kind)]
        )
    if name == "multiworker":
        return _multi_worker_strategy()
    return _tpu_strategy() if name == "tpu" else None


def _multi_worker_strategy() -> tf.distribute.Strategy:
    check_cluster(os.environ.get("TF_CONFIG", ""))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise RuntimeError(
            "make_strategy('multiworker') must be called before any TensorFlow computation: "
            f"{error}."
        ) from error


def _tpu_strategy() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(
            os.environ.get("TPU_NAME", "local")
        )
    except (ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"No TPU found on this machine or under TPU_NAME: {str(error).splitlines()[0]}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def check_cluster(text: str) -> None:
    """Raises a `ValueError` when a text is not a `TF_CONFIG` of training workers."""
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        known = set(jobs) <= {"chief", "worker"} and task["type"] in jobs
        index = task["index"]
        valid = known and isinstance(index, int) and 0 <= index < len(jobs[task["type"]])
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise InputError(
            "The strategy multiworker needs the environment variable TF_CONFIG with the addresses "
            "of all workers (jobs worker and chief only) and the task of this process, got "
            f"{text or 'nothing'}. Example: {TF_CONFIG_EXAMPLE}. --workers N starts N processes on "
            "this machine and sets TF_CONFIG for them."
        )


def strategy_of(model: keras.Model) -> tf.distribute.Strategy | None:
    """The strategy a model was created under; `None` on backends other than TensorFlow."""
    return getattr(model, "distribute_strategy", None)


def worker_share(strategy: tf.distribute.Strategy | None) -> tuple[int, int]:
    """Number of processes that train together, and index of this process.

    Returns:
        `(workers, worker)`; `(1, 0)` for a single process.
    """
    resolver: Any = getattr(strategy, "cluster_resolver", None)
    cluster = resolver.cluster_spec().as_dict() if resolver is not None else {}
    addresses = _addresses(cluster)
    if len(addresses) < 2 or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1, 0
    before = len(cluster.get("chief", ())) if resolver.task_type == "worker" else 0
    return len(addresses), before + resolver.task_id


def _addresses(cluster: dict[str, list[str]]) -> list[str]:
    return [*cluster.get("chief", ()), *cluster.get("worker", ())]


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process writes the files of the run: the first or only worker."""
    return worker_share(strategy)[1] == 0


def local_devices(strategy: tf.distribute.Strategy | None) -> tuple[str | None, ...]:
    """Names of the devices of this process; `(None,)` when TensorFlow chooses the device."""
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return (None,)
    return tuple(strategy.extended.worker_devices)


def distributed(
    strategy: tf.distribute.Strategy | None, make_batches: Callable[[int, int], tf.data.Dataset]
) -> tf.distribute.DistributedDataset | tf.data.Dataset:
    """Batches for `model.fit` under a strategy; the replicas together get the same global batches.

    Args:
        strategy: Strategy of the training, or `None`.
        make_batches: Function of `workers` and `worker` that returns the infinite dataset of this
            worker's part of each batch, as `data.training_batches` does.

    Returns:
        The distributed dataset, or `make_batches(1, 0)` without strategy.

    Raises:
        ValueError: When the part of a worker is not divisible by the number of its replicas.
    """
    if strategy is None:
        return make_batches(1, 0)

    def per_replica(context: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = make_batches(context.num_input_pipelines, context.input_pipeline_id)
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        share = batches.element_spec[0].shape[0]
        if share % replicas:
            raise InputError(
                f"{share} samples are not divisible by {replicas} devices: choose a batch size "
                f"divisible by all {context.num_replicas_in_sync} devices."
            )
        return batches.rebatch(share // replicas, drop_remainder=True)

    return strategy.distribute_datasets_from_function(per_replica)


def sum_over_workers(strategy: tf.distribute.Strategy | None, array: Any) -> Any:
    """Sum of an array over all workers, the same on each; all workers must call it.

    Args:
        strategy: Strategy of the training, or `None`.
        array: NumPy array or scalar of the same shape and dtype on every worker.
    """
    workers, worker = worker_share(strategy)
    if strategy is None or workers == 1:
        return array
    first = worker * len(local_devices(strategy))  # replica with the array; the rest add zeros

    def part(context: Any) -> tf.Tensor:
        ours = context.replica_id_in_sync_group == first
        return tf.constant(array if ours else np.zeros_like(array))

    parts = strategy.experimental_distribute_values_from_function(part)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None).numpy()


@contextlib.contextmanager
def among_workers(strategy: tf.distribute.Strategy | None) -> Iterator[None]:
    """Ends this worker with a clear message when another one is lost, and not before the chief.

    TensorFlow detects a dead worker within about ten seconds by missing heartbeats. SIGTERM, which
    a scheduler sends to all workers, is handled by the chief only: it needs the other workers until
    it has saved.

    Raises:
        ConnectionError: Instead of TensorFlow's errors; names the lost worker if they do.
    """
    _, worker = worker_share(strategy)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN) if worker else None
    try:
        yield
    except tf.errors.OpError as error:
        message = lost_worker(strategy, error)
        if message is None:
            raise
        raise ConnectionError(message) from error
    finally:
        if worker:
            signal.signal(signal.SIGTERM, before)


def lost_worker(strategy: Any, error: tf.errors.OpError) -> str | None:
    """Message for a TensorFlow error that a lost worker caused; `None` for other errors."""
    workers, worker = worker_share(strategy)
    lost = isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError))
    if workers == 1 or not (lost or "Collective ops is aborted" in str(error)):
        return None
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    # The last worker in the message is the lost one; the worker that noticed may come before it.
    named = re.findall(r"/job:(chief|worker)/(?:replica:\d+/)?task:(\d+)", str(error))
    gone = [cluster[job][int(task)] for job, task in named if int(task) < len(cluster[job])]
    index = _addresses(cluster).index(gone[-1]) if gone else worker
    which = "Another worker" if index == worker else f"Worker {index} ({gone[-1]})"
    return (
        f"{which} of {workers} has ended or is unreachable; see its output for the cause. Worker "
        f"{worker} stops. Restart all workers with --resume to continue from the last save."
    )
