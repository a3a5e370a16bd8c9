"""Real processes that stand for workers; no TensorFlow."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from keras_deeplab.training.distributed.workers import chief_signalled, environments, run_workers

ROOT = pathlib.Path(__file__).parents[3]
LIMIT = 300  # seconds for what takes one, and on a busy machine ten; half of what `hang` takes
PROLOGUE = """
import json, os, pathlib, signal, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
pathlib.Path("pid-%d" % task).write_text(str(os.getpid()))
def others_are_up():
    while len(list(pathlib.Path(".").glob("pid-*"))) < 3:
        time.sleep(0.02)
def hang():  # nobody may wait for its end
    time.sleep(600)
    pathlib.Path("waited for").touch()
others_are_up()
"""


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Makes the command of three workers; checks that none is left in the end."""
    monkeypatch.chdir(tmp_path)

    def command(code):
        script = tmp_path / "worker.py"
        script.write_text(PROLOGUE + textwrap.dedent(code))
        return [sys.executable, str(script)]

    yield command
    assert not (tmp_path / "waited for").exists()
    pids = [int(path.read_text()) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 3
    assert wait_until(lambda: not any(map(running, pids)))


def running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=LIMIT):
    limit = time.monotonic() + seconds
    while not condition() and time.monotonic() < limit:
        time.sleep(0.05)
    return condition()


def parent(command):
    """`run_workers` in a process of its own, which ends with its status."""
    code = (
        "import sys; from keras_deeplab.training.distributed.workers import run_workers; "
        f"sys.exit(run_workers({command!r}, 3))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_environment_of_each_worker():
    found = list(environments(3))
    configs = [json.loads(environment["TF_CONFIG"]) for environment in found]
    addresses = configs[0]["cluster"]["worker"]
    assert len(set(addresses)) == 3 and all(a.startswith("127.0.0.1:") for a in addresses)
    assert all(config["cluster"]["worker"] == addresses for config in configs)
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": index} for index in range(3)
    ]


def test_threads_that_were_set_stay(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    threads = str(max(os.cpu_count() // 2, 1))
    assert [each["TF_NUM_INTRAOP_THREADS"] for each in environments(2)] == [threads] * 2
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert [each["TF_NUM_INTRAOP_THREADS"] for each in environments(2)] == ["7", "7"]


def test_output_of_the_chief_is_shown(worker, capfd):
    command = worker("print('by worker', task)\nif task: time.sleep(0.5)")
    assert run_workers(command, 3) == 0
    assert capfd.readouterr().out == "by worker 0\n"


def test_failed_worker_is_named_with_its_last_lines(worker):
    command = worker(
        """
        if task == 1:
            for line in range(50):
                print("line", line)
            sys.exit("cannot read it")
        hang()
        """
    )
    with pytest.raises(ChildProcessError) as error:
        run_workers(command, 3)
    message = str(error.value)
    assert message.startswith("Worker 1 of 3 ended with exit status 1;")
    assert "  worker 1: line 49\n  worker 1: cannot read it\n" in message
    assert "line 9\n" not in message
    assert message.endswith("--resume to continue from the last save.")


def test_killed_worker_is_named_with_its_signal(worker):
    command = worker("if task == 2: os.kill(os.getpid(), signal.SIGKILL)\nhang()")
    with pytest.raises(ChildProcessError, match=r"Worker 2 of 3 ended with signal SIGKILL"):
        run_workers(command, 3)


def test_failed_chief(worker):
    command = worker("if task == 0: sys.exit(3)\nhang()")
    with pytest.raises(ChildProcessError, match=r"Worker 0 of 3 ended with exit status 3.*above"):
        run_workers(command, 3)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130)],
    ids=lambda value: str(value),
)
def test_signals_are_left_to_the_chief(worker, number, status):
    command = worker(
        f"""
        def save(number, _):
            pathlib.Path("saving").touch()
            time.sleep(0.5)  # the others may end by now: the chief is waited for
            print("saved", flush=True)
            os._exit({status})
        if task == 0:
            signal.signal({int(number)}, save)
            print("ready", flush=True)
        else:
            signal.signal({int(number)}, lambda *_: pathlib.Path("told").touch())
            while not pathlib.Path("saving").exists():
                time.sleep(0.02)
            sys.exit(1)
        hang()
        """
    )
    process = parent(command)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    output, _ = process.communicate(timeout=LIMIT)
    assert output == "saved\n" and process.returncode == status
    assert not pathlib.Path("told").exists()


def test_chief_that_does_not_handle_the_signal(worker):
    process = parent(worker("if task == 0: print('ready', flush=True)\nhang()"))
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(timeout=LIMIT) == 143


def test_second_signal_kills(worker):
    command = worker(
        """
        if task == 0:
            signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
            print("ready", flush=True)
        hang()
        """
    )
    process = parent(command)
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.stdout.readline() == "told\n"
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=LIMIT) == 137


def test_second_signal_while_the_first_is_sent():
    sent = []

    class Chief:
        def send_signal(self, number):
            sent.append(number)
            if number == signal.SIGTERM:
                signal.raise_signal(signal.SIGTERM)

    with chief_signalled([Chief()]) as received:
        signal.raise_signal(signal.SIGTERM)
    assert sent == [signal.SIGTERM, signal.SIGKILL] and len(received) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a parent's death")
def test_killed_parent_leaves_none(worker):
    process = parent(worker("if task == 0: print('ready', flush=True)\nhang()"))
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
