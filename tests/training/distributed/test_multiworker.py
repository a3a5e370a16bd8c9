"""Two real processes on 127.0.0.1 that train together."""

import json
import signal

import numpy as np
import pytest
from distributed_run import assert_same_training, outputs, start_script, train
from recipe_steps import OF_WORKERS, arrays_of, assert_same_steps, steps

from keras_deeplab.training.distributed.strategies import check_cluster
from keras_deeplab.training.distributed.workers import environments

pytestmark = pytest.mark.long


def start_workers(script, *arguments):
    return [
        start_script(script, *[str(a).format(worker=worker) for a in arguments], **environment)
        for worker, environment in enumerate(environments(2))
    ]


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """What each of two workers said and saved, and how it ended."""
    folder = tmp_path_factory.mktemp("workers")
    processes = start_workers("worker_run.py", folder / "{worker}.npz")
    found = []
    for worker, (output, errors) in enumerate(outputs(processes)):
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        said = {key: value for line in lines for key, value in line.items()}
        ended = {"status": processes[worker].returncode, "errors": errors}
        found.append({**said, **ended, "saved": folder / f"{worker}.npz"})
    return found


def test_workers_know_their_share(workers):
    assert [found["share"] for found in workers] == [[2, 0, True], [2, 1, False]]


def test_sums_are_integers_of_64_bits(workers):
    assert all(found["sum"] == [[2**61 + 1, 2]] for found in workers)


def test_keras_still_needs_to_be_mended(workers):
    """When this fails, Keras has mended `fit`: remove `patch_fit` and its calls."""
    for found in workers:
        assert "PerReplica" in found["plain"]
        assert "Invalid reduction dimension 0" in found["built"]


def assert_trained_as_one_device(paths, name):
    model, losses, _ = train(None, name)
    results = [np.load(path) for path in paths]
    for result in results:
        assert_same_training(model, losses, result)
        np.testing.assert_array_equal(result["shared"], result["alone"])
    for key in results[0].files:
        assert_same_but_for_alignment(*(result[key] for result in results), key)


def assert_same_but_for_alignment(ours, theirs, key):
    """Equal within a few float32 units in the last place of the largest value.

    The workers apply the same gradients, but each computes its update by itself: Eigen's vector
    loops round differently where the memory of an array is aligned differently. Shared sums are
    exactly equal.
    """
    allowed = 4 * np.finfo("float32").eps * np.nanmax(np.abs(ours))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=allowed, err_msg=key)


@pytest.mark.parametrize("name", OF_WORKERS)
def test_steps_of_a_recipe_equal_one_device(workers, name):
    for found in workers:
        assert_same_steps(steps(name, None), arrays_of(np.load(found["saved"]), "workers", name))


def test_training_equals_one_device(workers):
    assert_trained_as_one_device([found["saved"] for found in workers], "tiny")


def test_worker_killed_ends_the_other_with_a_message(workers):
    chief, killed = workers
    assert killed["outlived SIGTERM"] and killed["status"] == -signal.SIGKILL
    assert chief["status"] == 1
    assert "ConnectionError: Worker 1 (127.0.0.1:" in chief["errors"]
    assert "--resume" in chief["errors"]


@pytest.mark.slow
def test_training_of_a_variant_equals_one_device(tmp_path):
    paths = [tmp_path / f"{worker}.npz" for worker in range(2)]
    processes = start_workers(
        "distributed_run.py", "multiworker", "r18_d16", tmp_path / "{worker}.npz"
    )
    for process, (_, errors) in zip(processes, outputs(processes), strict=True):
        assert process.returncode == 0, errors
    assert_trained_as_one_device(paths, "r18_d16")


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
