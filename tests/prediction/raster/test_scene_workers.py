"""Several processes predict one scene: the same bytes, and no process survives another's end."""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import time

import numpy as np
import pytest
from in_process import run
from resumable import (
    finish_run,
    hidden,
    outputs,
    records,
    start_run,
    stopped_run,
    write_model,
    write_scene,
)
from toy import toy_models, toy_predictor

import keras_deeplab as kd
from keras_deeplab.prediction.raster.bands import Band
from keras_deeplab.prediction.raster.pool import _shares


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folder of scene and model; result and files of one process."""
    folder = tmp_path_factory.mktemp("workers")
    write_model(folder, kernel=41)
    write_scene(folder)
    result, _ = finish_run(folder)
    return folder, result, outputs(folder)


@pytest.fixture
def prepared(undisturbed):
    folder, *known = undisturbed
    yield folder, *known
    for path in folder.glob(".*.parts"):
        shutil.rmtree(path)


def workers_of(process):
    """Workers of a process by their numbers in the pool."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            log = os.readlink(folder / "fd" / "2")
        except (OSError, IndexError):
            continue
        if int(status[1]) == process.pid and status[0] != "Z" and "worker-" in log:
            found[int(log.rpartition("-")[2].partition(".")[0])] = int(folder.name)
    return found


def wait_until(condition):
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_any_number_gives_the_same_bytes(prepared):
    folder, result, expected = prepared
    found, said = finish_run(folder, workers=3)
    assert found == result and outputs(folder) == expected and not hidden(folder)
    assert len(said.splitlines()) == 1  # the resolution is unknown: no worker repeats it


def test_the_command(prepared, tmp_path):
    """Its model is the toy, which other processes cannot load; alone it predicts."""
    command = ("predict", prepared[0] / "scene.tif", "--model", "toy", "--no-resume")
    with toy_models():
        several = run(*command, "--output", tmp_path / "map.tif", "--workers", 2, check=False)
        run(*command, "--output", tmp_path / "map.tif", "--workers", 1)
    assert "workers=2 needs a model that other processes can load" in several.output


def stopped_workers(folder, count=2):
    """A run whose workers are stopped by SIGSTOP before they finish a band, and their numbers.

    On a busy machine it may have come further before it is looked at: then it begins again.
    """
    for _ in range(10):
        process, workers = start_run(folder, workers=count), {}
        while process.poll() is None and len(workers) < count:
            time.sleep(0.005)
            workers = workers_of(process)
        for pid in workers.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        if process.poll() is None and len(workers) == count and not records(folder):
            return process, workers
        process.kill()
        process.communicate()
        shutil.rmtree(folder / ".map.tif.parts", ignore_errors=True)
    raise AssertionError("The workers could not be stopped before their first band.")


def test_the_bands_of_a_dead_worker_go_to_another(prepared):
    folder, result, expected = prepared
    process, workers = stopped_workers(folder)
    os.kill(workers[0], signal.SIGKILL)
    os.kill(workers[1], signal.SIGCONT)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert re.search("Worker 0 ended with signal SIGKILL (in|before its first) rows ", errors)
    assert json.loads(said) == result and outputs(folder) == expected and not hidden(folder)


def test_the_last_worker_is_reported_with_its_band(prepared):
    folder, result, expected = prepared
    process = stopped_run(folder, workers=2)
    for pid in workers_of(process).values():
        os.kill(pid, signal.SIGKILL)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=300)
    last = errors.splitlines()[-1]
    assert process.returncode == 1 and last.startswith("ChildProcessError: All 2 workers ended")
    # "before its first rows": it was still starting when the other one had finished a band.
    assert re.search("with signal SIGKILL (in|before its first) rows ", last)
    assert f"of {folder}/scene.tif" in last
    assert "bands are finished and kept in" in errors
    assert finish_run(folder, workers=2)[0] == result and outputs(folder) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_all(prepared, number):
    folder, _, _ = prepared
    process = stopped_run(folder, workers=2)
    workers = workers_of(process)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode != 0
    assert ("bands are finished and kept in" in errors) == (number != signal.SIGKILL)
    wait_until(lambda: not any(map(alive, workers.values())))


def test_an_error_of_a_worker_is_that_of_the_run(prepared, tmp_path):
    folder, _, _ = prepared
    shutil.copy(folder / "model.xml", tmp_path)
    shutil.copy(folder / "model.bin", tmp_path)
    shutil.copy(folder / "scene.tif", tmp_path)
    content = (tmp_path / "scene.tif").read_bytes()
    (tmp_path / "scene.tif").write_bytes(content[: len(content) // 3])  # the lower rows are missing
    process = start_run(tmp_path, workers=2)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "UnreadableFileError" in errors.splitlines()[-1] and "at row" in errors.splitlines()[-1]


def test_what_other_processes_cannot_load(tmp_path):
    for workers in (0, -1, 1.5):
        with pytest.raises(ValueError, match="workers must be a positive integer"):
            kd.predict_raster(toy_predictor(), "a.tif", tmp_path / "map.tif", workers=workers)
    with pytest.raises(ValueError, match="workers=2 needs a model that other processes can load"):
        kd.predict_raster(toy_predictor(), "a.tif", tmp_path / "map.tif", workers=2)


def test_shares_are_even_and_complete():
    bands = [Band(index, 0, 1, index, index + 1, index) for index in range(7)]
    for count in range(1, 8):
        shares = _shares(bands, count)
        assert [*itertools.chain(*shares)] == bands
        assert np.ptp([len(share) for share in shares]) <= 1
