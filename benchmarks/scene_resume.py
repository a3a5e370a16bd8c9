"""Costs of an interruption and of several workers: CPU seconds, seconds, memory per process.

Run: python benchmarks/scene_resume.py [SCENE] [--model r18_dubai] [--kills 1] [--workers 1 2]

Without SCENE it writes a synthetic one of 3,000 x 512 pixels. Each row is `keras-deeplab predict`
by OpenVINO in float32, in a process of its own, whose map must have the same bytes as that of the
first row:
- undisturbed, for each number of workers;
- interrupted: SIGKILL after equal parts of the first row's seconds, then a last run to the end; the
  figures are those of all runs together.

CPU seconds are those of all processes and threads; those of workers that were killed with their
parent are missing, so only one worker is interrupted. Memory is the highest peak of a process.
"""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from scene_sizes import write_scene

from keras_deeplab._internal.processor import cpu_model

COMMAND = "from keras_deeplab.commands.group import main; main()"


def processes(pid):
    """A process and those that it started."""
    found = [pid]
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def peak(pid):
    """Highest memory of a process so far in MB."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def predict(scene, target, model, workers, kill_after=None):
    """Seconds, CPU seconds, and the peak memory of the first process and of its workers in MB."""
    arguments = ["predict", scene, "--model", model, "--output", target, "--workers", workers]
    arguments += ["--resolution", "native", "--runtime", "openvino", "--precision", "float32"]
    start, own, others = time.perf_counter(), 0.0, 0.0
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        first, *children = processes(process.pid)
        own = max(own, peak(first))
        others = max([others, *map(peak, children)])
        if kill_after is not None and time.perf_counter() - start > kill_after:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.3)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        raise ChildProcessError(f"predict ended with status {status}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, own, others


def main():
    """Prints a row for each way to predict the scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scene", nargs="?", type=pathlib.Path)
    parser.add_argument("--model", default="r18_dubai")
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2))
    options = parser.parse_args()
    print(f"{options.model} on {cpu_model()}, {os.cpu_count()} processors\n")
    columns = ("", "seconds", "CPU seconds", "peak memory, MB", "of a worker, MB", "same bytes")
    print("|", " | ".join(columns), "|\n" + "|---" * len(columns) + "|")
    with tempfile.TemporaryDirectory() as folder:
        scene, target = options.scene, pathlib.Path(folder) / "map.tif"
        if scene is None:
            scene = pathlib.Path(folder) / "scene.tif"
            write_scene(scene, 3_000, 512)
        expected = None

        def show(name, seconds, cpu, own, others):
            nonlocal expected
            expected = expected or target.read_bytes()
            same = "yes" if target.read_bytes() == expected else "NO"
            cells = [name, *(f"{value:.0f}" for value in (seconds, cpu, own)), f"{others:.0f}"]
            print(
                "|", " | ".join([*cells[:-1], cells[-1] if others else "", same]), "|", flush=True
            )
            target.unlink()

        undisturbed = None
        for workers in options.workers:
            found = predict(scene, target, options.model, workers)
            undisturbed = undisturbed or found[0]
            show(f"{workers} worker{'s' * (workers > 1)}", *found)
        runs = [
            predict(scene, target, options.model, 1, undisturbed / (options.kills + 1))
            for _ in range(options.kills)
        ]
        runs.append(predict(scene, target, options.model, 1))
        totals = [sum(values) for values in zip(*(run[:2] for run in runs), strict=True)]
        show(f"killed {len(runs) - 1} x, continued", *totals, max(run[2] for run in runs), 0)


if __name__ == "__main__":
    main()
