"""Two logical CPU devices of one process against one device."""

import numpy as np
import pytest
import tensorflow as tf
from device_losses import batch, losses_and_slopes
from distributed_run import (
    assert_same_training,
    batches,
    outputs,
    start_script,
    train,
    validation,
)

import keras_deeplab as kd
from keras_deeplab.evaluation.dataset import evaluate_views
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.runtimes.predictor import as_predictor
from keras_deeplab.training.distributed.strategies import (
    distributed,
    is_chief,
    local_devices,
    make_strategy,
    sum_over_workers,
    worker_share,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What two devices came to, and model and losses of one."""
    path = tmp_path_factory.mktemp("mirrored") / "result.npz"
    process = start_script("distributed_run.py", "mirrored", "tiny", path)
    model, losses, _ = train(None)
    ((_, errors),) = outputs([process])
    assert process.returncode == 0, errors
    return np.load(path), model, losses


def test_mirrored_training_equals_one_device(trained):
    halves = [
        (label.numpy() != 255).reshape(2, -1).sum(axis=1) for _, label in batches(1, 0).take(2)
    ]
    assert all(max(valid) > 2 * min(valid) for valid in halves)  # uneven over the devices
    result, model, losses = trained
    assert result["replicas"] == 2
    assert_same_training(model, losses, result)
    np.testing.assert_array_equal(result["shared"], result["alone"])


def test_two_devices_give_the_losses_of_one(trained):
    labels, logits = map(tf.constant, batch())
    values, slopes = losses_and_slopes(labels, logits)
    np.testing.assert_allclose(trained[0]["values"], values, rtol=1e-5)
    np.testing.assert_allclose(trained[0]["slopes"], slopes, atol=1e-6)


def test_shares_of_an_evaluation_are_the_whole(trained):
    """More workers than images: some count nothing."""
    predictor = as_predictor(trained[1])
    whole = kd.evaluate(predictor, validation(), num_classes=3).confusion
    options = {"protocol": Protocol(), "ignore_index": 255}
    shares = [
        evaluate_views(predictor, validation(), 3, workers=5, worker=worker, **options)[0][
            0
        ].confusion
        for worker in range(5)
    ]
    assert not shares[4].any() and all(share.any() for share in shares[:3])
    np.testing.assert_array_equal(sum(shares), whole)


def test_without_strategy():
    assert make_strategy("none") is None
    assert worker_share(None) == (1, 0) and is_chief(None) and local_devices(None) == (None,)
    assert sum_over_workers(None, np.arange(3)).tolist() == [0, 1, 2]
    assert distributed(None, lambda workers, worker: [workers, worker]) == [1, 0]


def test_replicas_get_the_batch_in_order():
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    data = tf.data.Dataset.range(8).map(lambda index: (index, index)).batch(4, drop_remainder=True)
    seen = [
        part[0].numpy().tolist() for part in distributed(strategy, lambda workers, worker: data)
    ]
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_unknown_strategy():
    with pytest.raises(ValueError, match="none, mirrored, multiworker, tpu, got 'mirror'"):
        make_strategy("mirror")


def test_strategy_multiworker_after_the_start_of_tensorflow(monkeypatch):
    tf.zeros(1)
    monkeypatch.setenv(
        "TF_CONFIG",
        '{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}',
    )
    with pytest.raises(RuntimeError, match="must be called before any TensorFlow"):
        make_strategy("multiworker")
