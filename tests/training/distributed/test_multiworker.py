"""Two real processes on 127.0.0.1 that train together."""

import json
import time

import numpy as np
import pytest
from distributed_run import assert_same_training, start_script, train

from keras_deeplab.training.distributed.strategies import check_cluster
from keras_deeplab.training.distributed.workers import environments


def start_workers(script, *arguments):
    return [
        start_script(script, *[str(a).format(worker=worker) for a in arguments], **environment)
        for worker, environment in enumerate(environments(2))
    ]


@pytest.fixture(scope="module")
def findings():
    """What each of two workers said, how it ended, and when the chief had ended."""
    processes = start_workers("worker_run.py")
    found = []
    for process in processes:
        output, errors = process.communicate(timeout=300)
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        said = {key: value for line in lines for key, value in line.items()}
        ended = {"status": process.returncode, "errors": errors, "ended": time.time()}
        found.append({**said, **ended})
    return found


def test_workers_know_their_share(findings):
    assert [found["share"] for found in findings] == [[2, 0, True], [2, 1, False]]


def test_sums_are_integers_of_64_bits(findings):
    assert all(found["sum"] == [[2**61 + 1, 2]] for found in findings)


def test_keras_still_needs_to_be_mended(findings):
    """When this fails, Keras has mended `fit`: remove `patch_fit` and its calls."""
    for found in findings:
        assert "PerReplica" in found["plain"]
        assert "Invalid reduction dimension 0" in found["built"]


def test_fit_works_mended(findings):
    assert findings[0]["loss"] == findings[1]["loss"] > 0
    assert findings[0]["weights"] == findings[1]["weights"]


def test_worker_killed_ends_the_other_with_a_message(findings):
    chief, killed = findings
    assert killed["status"] == -9
    assert chief["status"] == 1
    assert "ConnectionError: Worker 1 (127.0.0.1:" in chief["errors"]
    assert "--resume" in chief["errors"]
    assert chief["ended"] - killed["outlived SIGTERM until"] < 60


@pytest.mark.slow  # the same with two devices of one process is tested every time
def test_training_equals_one_device(tmp_path):
    processes = start_workers("distributed_run.py", "multiworker", tmp_path / "{worker}.npz")
    model, losses, _ = train(None)
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    results = [np.load(tmp_path / f"{worker}.npz") for worker in range(2)]
    for result in results:
        assert_same_training(model, losses, result)
        np.testing.assert_array_equal(result["shared"], result["alone"])
    np.testing.assert_array_equal(results[0]["shared"], results[1]["shared"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_wrong_cluster_is_an_error(text):
    with pytest.raises(ValueError, match="TF_CONFIG") as error:
        check_cluster(text)
    assert (text or "nothing") in str(error.value)


def test_right_clusters_pass():
    check_cluster('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}')
    check_cluster(
        '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}'
    )
