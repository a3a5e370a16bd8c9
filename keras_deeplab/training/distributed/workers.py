"""Workers of a multi-worker training as processes on this machine."""

import contextlib
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from keras_deeplab._internal.processes import end_with_parent, how_it_ended, last_lines

POLL = 0.1  # seconds
GRACE = 30  # seconds that the others may take to end after the chief


def run_workers(command: Sequence[str], count: int) -> int:
    """Runs one command in several processes that train together.

    Each gets its `TF_CONFIG` and an equal share of the cores. GPUs are hidden, as two processes
    cannot share one. The first process is the chief: its output is shown. SIGTERM and SIGINT are
    sent to the chief only; when it has saved and ended, the others are killed.

    Args:
        command: Program and arguments.
        count: Number of processes.

    Returns:
        Exit status of the chief: 0, or its status after a signal.

    Raises:
        ChildProcessError: When a process fails; names the worker, how it ended and its last lines.
            All other processes are killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        logs = [None, *(pathlib.Path(folder, f"worker-{index}.log") for index in range(1, count))]
        processes: list[subprocess.Popen[bytes]] = []
        try:
            with chief_signalled(processes) as signals:
                for environment, log in zip(environments(count), logs, strict=True):
                    processes.append(start(command, environment, log))
                return watched(processes, logs, signals)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def environments(count: int) -> Iterator[dict[str, str]]:
    """Yields the environment variables of `count` workers on free ports of 127.0.0.1."""
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


def start(
    command: Sequence[str], environment: Mapping[str, str], log: pathlib.Path | None
) -> subprocess.Popen[bytes]:
    """Starts a worker; without a log file it is the chief and inherits the output streams."""
    # If this process is killed, the kernel sends SIGTERM to the chief, which saves, and kills the
    # others.
    death_signal = signal.SIGTERM if log is None else signal.SIGKILL

    with contextlib.nullcontext() if log is None else open(log, "wb") as output:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches this process only
            preexec_fn=functools.partial(end_with_parent, death_signal),
        )


@contextlib.contextmanager
def chief_signalled(processes: list[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Forwards SIGTERM and SIGINT to the first process; yields the list of received signals.

    The second signal kills it: TensorFlow ignores SIGTERM while workers wait for each other.
    """
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)  # first: the next signal may come before this one is sent
        for chief in processes[:1]:
            chief.send_signal(number if len(received) == 1 else signal.SIGKILL)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watched(
    processes: list[subprocess.Popen[bytes]],
    logs: Sequence[pathlib.Path | None],
    signals: Sequence[int],
) -> int:
    """Waits for the chief and returns its exit status; raises when a process fails."""
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


def failure_message(
    processes: list[subprocess.Popen[bytes]],
    logs: Sequence[pathlib.Path | None],
    process: subprocess.Popen[bytes],
) -> str:
    """Error message for a failed worker."""
    index, status = processes.index(process), process.returncode
    log = logs[index]
    message = (
        f"Worker {index} of {len(processes)} ended with {how_it_ended(status)}; the others were "
        "stopped."
    )
    if log is None:
        message += " Its output is above."
    else:
        lines = last_lines(log)
        if lines:
            message += " Its last lines:"
        message += "".join(f"\n  worker {index}: {line}" for line in lines)
    return f"{message}\nRun the same command with --resume to continue from the last save."
