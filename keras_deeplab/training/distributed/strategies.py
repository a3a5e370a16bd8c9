"""Training on several devices and machines: `tf.distribute` as this library uses it."""

import contextlib
import json
import os
import re
import signal

import numpy as np
import tensorflow as tf

STRATEGIES = ("none", "mirrored", "multiworker", "tpu")
TF_CONFIG_EXAMPLE = (
    '{"cluster": {"worker": ["host-a:12345", "host-b:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


def make_strategy(name):
    """Makes the strategy under whose `scope()` model and optimizer are to be created.

    Args:
        name: `"none"`; `"mirrored"`, all GPUs of this machine, or without GPUs all logical CPU
            devices; `"multiworker"`, this process as one of those that the environment variable
            `TF_CONFIG` lists; or `"tpu"`, the TPU of this machine or of `TPU_NAME`, which was never
            tried. Call it for `"multiworker"` before anything that computes, and in all processes:
            it waits for the others.

    Returns:
        `tf.distribute.Strategy`, or `None` for `"none"`.

    Raises:
        ValueError: When `TF_CONFIG` is missing or wrong, or there is no TPU.
        RuntimeError: When TensorFlow is already in use and cannot join a cluster any more.
    """
    if name not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {name!r}.")
    if name == "mirrored":
        kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        return tf.distribute.MirroredStrategy(
            [device.name for device in tf.config.list_logical_devices(kind)]
        )
    if name == "multiworker":
        return _multi_worker_strategy()
    return _tpu_strategy() if name == "tpu" else None


def _multi_worker_strategy():
    check_cluster(os.environ.get("TF_CONFIG", ""))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise RuntimeError(
            "make_strategy('multiworker') must come before anything that computes with TensorFlow: "
            f"{error}."
        ) from error


def _tpu_strategy():
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(
            os.environ.get("TPU_NAME", "local")
        )
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(
            "There is no TPU on this machine, nor one that TPU_NAME names: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def check_cluster(text):
    """Raises a `ValueError` when a text is no `TF_CONFIG` of training workers."""
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        known = set(jobs) <= {"chief", "worker"} and task["type"] in jobs
        index = task["index"]
        valid = known and isinstance(index, int) and 0 <= index < len(jobs[task["type"]])
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise ValueError(
            "The strategy multiworker needs the environment variable TF_CONFIG to list the workers "
            "(and none but a chief besides) and to say which of them this process is, got "
            f"{text or 'nothing'}. An example: {TF_CONFIG_EXAMPLE}. --workers N starts N processes "
            "on this machine and sets it for them."
        )


def strategy_of(model):
    """The strategy a model was created under; `None` on backends other than TensorFlow."""
    return getattr(model, "distribute_strategy", None)


def worker_share(strategy):
    """How many processes train together, and which one this is.

    Args:
        strategy: `tf.distribute.Strategy` or `None`.

    Returns:
        `(workers, worker)`; `(1, 0)` in a process of its own.
    """
    resolver = getattr(strategy, "cluster_resolver", None)
    cluster = resolver.cluster_spec().as_dict() if resolver is not None else {}
    addresses = _addresses(cluster)
    if len(addresses) < 2 or not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1, 0
    before = len(cluster.get("chief", ())) if resolver.task_type == "worker" else 0
    return len(addresses), before + resolver.task_id


def _addresses(cluster):
    return [*cluster.get("chief", ()), *cluster.get("worker", ())]


def is_chief(strategy):
    """Whether this process writes the files of the run: the first worker, or the only one."""
    return worker_share(strategy)[1] == 0


def local_devices(strategy):
    """Names of the devices of this process; `(None,)` when there is nothing to choose from."""
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return (None,)
    return tuple(strategy.extended.worker_devices)


def distributed(strategy, make_batches):
    """Batches for `model.fit` under a strategy; all replicas together see exactly those of one.

    Args:
        strategy: `tf.distribute.Strategy` or `None`.
        make_batches: Function of `workers` and `worker` that returns the endless dataset of this
            worker's part of each batch, as `data.training_batches` makes it.

    Returns:
        `tf.distribute.DistributedDataset`, or the dataset of `make_batches(1, 0)` without strategy.

    Raises:
        ValueError: When the replicas of a worker cannot share its part evenly.
    """
    if strategy is None:
        return make_batches(1, 0)

    def per_replica(context):
        batches = make_batches(context.num_input_pipelines, context.input_pipeline_id)
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        share = batches.element_spec[0].shape[0]
        if share % replicas:
            raise ValueError(
                f"{replicas} devices cannot take equal parts of {share} samples: choose a batch "
                f"size divisible by all {context.num_replicas_in_sync} devices."
            )
        return batches.rebatch(share // replicas, drop_remainder=True)

    return strategy.distribute_datasets_from_function(per_replica)


def sum_over_workers(strategy, array):
    """Sum of an array over all workers, the same on each; all of them must call it.

    Args:
        strategy: `tf.distribute.Strategy` or `None`.
        array: NumPy array of the same shape and dtype on every worker.

    Returns:
        NumPy array.
    """
    workers, worker = worker_share(strategy)
    if workers == 1:
        return array
    first = worker * len(local_devices(strategy))  # its replica brings the array, others nothing

    def part(context):
        ours = context.replica_id_in_sync_group == first
        return tf.constant(array if ours else np.zeros_like(array))

    parts = strategy.experimental_distribute_values_from_function(part)
    return strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None).numpy()


@contextlib.contextmanager
def among_workers(strategy):
    """Ends this worker with a clear message when another one is gone, and not before the chief.

    TensorFlow finds a dead worker within some ten seconds by its missing heartbeats. SIGTERM, which
    a scheduler sends to all workers, is left to the chief: it needs the others until it has saved.

    Args:
        strategy: `tf.distribute.Strategy` or `None`.

    Raises:
        ConnectionError: In place of TensorFlow's errors; names the worker when they do.
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


def lost_worker(strategy, error):
    """What to tell people of an error of TensorFlow that comes from a lost worker, else `None`."""
    workers, worker = worker_share(strategy)
    lost = isinstance(error, (tf.errors.UnavailableError, tf.errors.AbortedError))
    if workers == 1 or not (lost or "Collective ops is aborted" in str(error)):
        return None
    cluster = strategy.cluster_resolver.cluster_spec().as_dict()
    # The last one named is the one that fell silent; before it may stand who noticed.
    named = re.findall(r"/job:(chief|worker)/(?:replica:\d+/)?task:(\d+)", str(error))
    gone = [cluster[job][int(task)] for job, task in named if int(task) < len(cluster[job])]
    index = _addresses(cluster).index(gone[-1]) if gone else worker
    which = "Another worker" if index == worker else f"Worker {index} ({gone[-1]})"
    return (
        f"{which} of {workers} has ended or cannot be reached; its own output says why. "
        f"Worker {worker} stops. Start all workers again with --resume to go on from the last save."
    )
