"""The workers of a multi-worker training as processes of this machine."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

POLL = 0.1  # seconds
GRACE = 30  # seconds the others may take to end after the chief has finished
LINES = 20  # of a failed worker's output that are shown


def run_workers(command, count):
    """Runs one command in several processes that train together.

    Each gets its `TF_CONFIG` and an equal part of the cores; GPUs are hidden from them, for two
    processes cannot share one. The first is the chief: its output is shown. SIGTERM and SIGINT go
    to it alone; it may save and end, and then the others are ended.

    Args:
        command: List of program and arguments.
        count: Number of processes.

    Returns:
        Exit status of the chief: 0, or what it ended with after a signal.

    Raises:
        ChildProcessError: When a process fails; names it, how it ended and its last lines. No
            process is left then.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = [None] + [pathlib.Path(folder, f"worker-{index}.log") for index in range(1, count)]
        processes = []
        try:
            with chief_signalled(processes) as signals:
                for environment, log in zip(environments(count), logs, strict=True):
                    processes.append(start(command, environment, log))
                return watched(processes, logs, signals)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def environments(count):
    """The environment variables of each of `count` workers on free ports of 127.0.0.1."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    threads = max((os.cpu_count() or 1) // count, 1)
    for index in range(count):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        yield {
            "TF_NUM_INTRAOP_THREADS": str(threads),
            **os.environ,
            "TF_CONFIG": json.dumps(config),
            "CUDA_VISIBLE_DEVICES": "-1",
        }


def start(command, environment, log):
    """Starts a worker; without a log file it is the chief and writes where this process does."""
    # Should this process be killed, the kernel tells the chief to save and end, others just end.
    death_signal = signal.SIGTERM if log is None else signal.SIGKILL

    def end_with_parent():
        ctypes.CDLL(None).prctl(1, death_signal)  # 1: PR_SET_PDEATHSIG

    with contextlib.nullcontext() if log is None else open(log, "wb") as output:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches this process only
            preexec_fn=end_with_parent if sys.platform == "linux" else None,
        )


@contextlib.contextmanager
def chief_signalled(processes):
    """Hands SIGTERM and SIGINT on to the first process; yields the list of those received.

    The second one kills it: TensorFlow swallows SIGTERM while workers wait for each other.
    """
    received = []

    def hand_on(number, _):
        for chief in processes[:1]:
            chief.send_signal(signal.SIGKILL if received else number)
        received.append(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watched(processes, logs, signals):
    """Waits for the chief; returns its status, or raises when a process fails."""
    while processes[0].poll() is None:
        failed = [] if signals else [process for process in processes if process.poll()]
        if failed:
            raise ChildProcessError(failure_message(processes, logs, failed[0]))
        time.sleep(POLL)
    status = processes[0].returncode
    if signals:
        return 128 - status if status < 0 else status
    if status:
        raise ChildProcessError(failure_message(processes, logs, processes[0]))
    for process in processes[1:]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    return 0


def failure_message(processes, logs, process):
    """The message for people that a worker failed."""
    index, status = processes.index(process), process.returncode
    how = f"exit status {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
    message = f"Worker {index} of {len(processes)} ended with {how}; the others were stopped."
    if logs[index] is None:
        message += " Its output is above."
    else:
        lines = logs[index].read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
        if lines:
            message += " Its last lines:"
        message += "".join(f"\n  worker {index}: {line}" for line in lines)
    return f"{message}\nThe same command with --resume goes on from the last save."
