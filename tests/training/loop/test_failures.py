"""Runs that are killed, run out of disk, or meet damaged files: in processes of their own."""

import os
import random
import resource
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from training.loop.test_train import arrays

ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def command(folder, output, *more):
    return [
        *(sys.executable, "-m", "keras_deeplab.commands", "train", "--model", "r18_d16"),
        *("--images", folder / "images", "--masks", folder / "masks"),
        *("--classes", folder / "classes.json", "--no-aux-head", "--output", output),
        *("--steps", 12, "--crop", 32, "--batch", 2, "--ema", 0.9, "--lr", 0.001),
        *("--validate-every", 5, "--save-every", 2, *more),
    ]


def start(folder, output, *more, **options):
    return subprocess.Popen(
        list(map(str, command(folder, output, *more))),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
        **options,
    )


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)


def finish(folder, output, *more):
    process = start(folder, output, *more)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


def same_files(one, other):
    names = {path.name for path in one.glob("*.weights.h5")}
    assert names == {path.name for path in other.glob("*.weights.h5")} and len(names) == 2
    for name in names:
        assert arrays(one / name) == arrays(other / name), name
    assert (one / "history.csv").read_text() == (other / "history.csv").read_text()


@pytest.mark.slow
def test_a_run_goes_through_kill_full_disk_and_sigterm(labelled_folder, tmp_path):
    """It ends as the run that met none of them."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finish(labelled_folder, whole)

    process = start(labelled_folder, cut)
    wait_for(cut / "last.weights.h5", process)
    process.kill()
    process.communicate()

    saved = (cut / "last.weights.h5").read_bytes()
    process = start(labelled_folder, cut, "--resume", preexec_fn=allow_small_files)
    said = process.communicate()[0]
    assert process.returncode == 1 and "Traceback" not in said, said
    assert "last.weights.h5 was not written at step" in said
    assert (cut / "last.weights.h5").read_bytes() == saved

    process = start(labelled_folder, cut, "--resume")
    before = (cut / "last.weights.h5").stat().st_mtime
    while (cut / "last.weights.h5").stat().st_mtime == before:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    process.terminate()
    said = process.communicate()[0]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Ended by SIGTERM; the run is saved" in said and "Traceback" not in said
    assert not list(cut.glob(".*.h5"))
    finish(labelled_folder, cut, "--resume")
    same_files(whole, cut)


def allow_small_files():
    """Makes writing fail beyond a megabyte, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing_and_a_run_is_repeated(
    labelled_folder, tmp_path
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    images, masks = labelled_folder / "images", labelled_folder / "masks"
    validated = ("--val-images", images, "--val-masks", masks)
    begun = time.monotonic()
    finish(labelled_folder, whole, *validated)
    lasted = time.monotonic() - begun
    random.seed(0)
    moments, kills = [random.uniform(0.3, 1.1) * lasted for _ in range(100)], []
    while len(kills) < 20:
        resumed = ("--resume",) if (cut / "last.weights.h5").exists() else ()
        process = start(labelled_folder, cut, *validated, *resumed)
        try:
            said = process.communicate(timeout=moments.pop())[0]
            assert process.returncode == 0, said
            same_files(whole, cut)
            for path in cut.glob("*.*"):  # and once more from the beginning
                path.unlink()
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills.append(steps_saved(cut))
    print("steps saved when killed:", kills)
    assert len(np.unique(kills)) > 3
    finish(labelled_folder, cut, *validated, *(("--resume",) if kills[-1] else ()))
    same_files(whole, cut)

    process = start(labelled_folder, cut, *validated, "--resume", "--steps", 13)
    said = process.communicate()[0]
    assert process.returncode == 1 and "other options" in said and "'steps': 12" in said

    command = [sys.executable, "-m", "keras_deeplab.commands", "train", "--from-run", whole]
    subprocess.run([*command, "--output", tmp_path / "again"], check=True, env=ENVIRONMENT)
    same_files(whole, tmp_path / "again")


def steps_saved(folder):
    path = folder / "last.weights.h5"
    if not path.exists():
        return 0
    with h5py.File(path) as file:
        return int(file["run_state"].attrs["step"])
