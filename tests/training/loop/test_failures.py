"""Runs that are killed, ended or run out of disk, in processes of their own."""

import itertools
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from training.loop.test_train import arrays, saved_step

TESTS = pathlib.Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS))),
}


def start(*arguments, stderr=subprocess.STDOUT):
    """Starts a Python process whose output is piped."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=ENVIRONMENT,
    )


def finish(process, status=0):
    """Waits for a process to end with a status; gives its output."""
    said = process.communicate()[0]
    assert process.returncode == status, said
    return said


def same_files(one, other):
    names = {path.name for path in one.glob("*.weights.h5")}
    assert names == {path.name for path in other.glob("*.weights.h5")} and len(names) == 2
    for name in names:
        assert arrays(one / name) == arrays(other / name), name
    assert (one / "history.csv").read_text() == (other / "history.csv").read_text()


def tiny_run(folder):
    with open(folder.with_suffix(".errors"), "w") as errors:
        return start(TESTS / "training/loop/tiny_run.py", folder, stderr=errors)


def finish_tiny_run(folder, process):
    """Waits for a run to end; gives the moments at which it had taken its steps."""
    moments = [time.monotonic() for line in process.stdout if line == "step\n"]
    assert process.wait() == 0, folder.with_suffix(".errors").read_text()
    return moments


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path):
    """Half of them at random moments, half while a file is being written."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    moments = finish_tiny_run(whole, tiny_run(whole))
    assert len(moments) == 12
    pause = (moments[-1] - moments[0]) / 11
    chosen, kills, torn = random.Random(0), [], 0
    for _ in range(100):
        if len(kills) >= 20 and torn >= 4:
            break
        process = tiny_run(cut)
        # Before the first step, while the run is read and compiled, or within one of the next.
        going = has_taken(process, chosen.randrange(5))
        if going and len(kills) % 2:
            while not leftovers(cut, process) and process.poll() is None:
                pass
        elif going:
            time.sleep(chosen.uniform(0, pause))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            process.stdout.close()
            kills.append(int(saved_step(cut)) if (cut / "last.weights.h5").exists() else 0)
            torn += bool(leftovers(cut, process))
        else:
            finish_tiny_run(cut, process)
            same_files(whole, cut)
            shutil.rmtree(cut)  # and once more from the beginning
    print("steps saved when killed:", kills, "while a file was written:", torn)
    assert len(kills) >= 20 and len(set(kills)) > 3 and torn >= 4
    finish_tiny_run(cut, tiny_run(cut))
    same_files(whole, cut)
    assert not list(cut.glob(".*"))


def has_taken(process, steps):
    """Waits until a run has begun and taken so many steps; false when it ended before."""
    lines = iter(process.stdout.readline, "")
    assert next(lines) == "begun\n"
    return sum(line == "step\n" for line in itertools.islice(lines, steps)) == steps


def leftovers(folder, process):
    """The files that a process is writing, or was writing when it was killed."""
    return list(folder.glob(f".{process.pid}-*"))


# --- The command, with a variant ---


def train(folder, output, *more):
    return start(
        *("-m", "keras_deeplab.commands", "train", "--model", "r18_d16", "--no-aux-head"),
        *("--images", folder / "images", "--masks", folder / "masks"),
        *("--classes", folder / "classes.json", "--output", output),
        *("--steps", 20, "--crop", 32, "--batch", 2, "--ema", 0.9, "--lr", 0.001),
        *("--validate-every", 9, "--save-every", 3, *more),
    )


@pytest.mark.slow
def test_the_command_goes_through_sigterm_and_a_full_disk(labelled_folder, tmp_path):
    """It ends as its repetition, which meets neither."""
    cut, again = tmp_path / "cut", tmp_path / "again"
    last = cut / "last.weights.h5"
    for _ in range(5):  # on a busy machine it may have ended before it is looked at
        process = train(labelled_folder, cut)
        while not last.exists():
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        process.terminate()
        said = process.communicate()[0]
        if process.returncode:
            break
        shutil.rmtree(cut)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Ended by SIGTERM; the run is saved" in said and "Traceback" not in said

    saved = last.read_bytes()
    process = train(labelled_folder, cut, "--resume")
    # As a full disk; a function in the child would have the locks of this process's threads.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2**20, 2**20))
    said = finish(process, status=1)
    assert "last.weights.h5 was not written at step" in said and "Traceback" not in said
    assert last.read_bytes() == saved and not list(cut.glob(".*"))

    said = finish(train(labelled_folder, cut, "--resume", "--steps", 21), status=1)
    assert (
        "other options" in said
        and "steps: 20 there, 21 here" in said
        and last.read_bytes() == saved
    )

    finish(train(labelled_folder, cut, "--resume"))
    command = ("-m", "keras_deeplab.commands", "train", "--from-run", cut, "--output", again)
    finish(start(*command))
    same_files(cut, again)
