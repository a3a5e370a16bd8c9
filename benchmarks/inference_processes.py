"""The contestants of `infer.py`, each in a process of its own."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import resource
import sys
import tempfile
import time
import typing

import inference_networks as files
import numpy as np

DEFAULT = "pytorch-eager-float32"
INT8 = "openvino-int8"
PEERS = (
    DEFAULT,
    "pytorch-channels_last-float32",
    "pytorch-channels_last-bfloat16",
    "pytorch-compile-float32",
    "pytorch-compile-bfloat16",
)
SPAWN = multiprocessing.get_context("spawn")


class Job(typing.NamedTuple):
    """What a process runs: a network in `folder` on an image of `side`."""

    network: str
    folder: pathlib.Path
    side: int
    threads: int


class First(typing.NamedTuple):
    """What a process reports of its first call."""

    seconds: float
    peak: float  # of memory, MB


class Last(typing.NamedTuple):
    """What a process reports in the end."""

    peak: float  # of memory, MB
    same: float  # share of pixels with the reference's class
    difference: float  # the largest, of logits


def contestant(name, job):
    """A function of images to logits, both NumPy arrays."""
    runtime, _, precision = name.rpartition("-")
    if name in PEERS:
        from torch_inference import Peer

        return Peer(job.network, job.folder / files.WEIGHTS, runtime.split("-")[1], precision)
    import keras_deeplab as kd
    from keras_deeplab.commands.startup import silence_tensorflow

    silence_tensorflow()
    run = job.folder / files.RUN
    if name == INT8:
        return kd.compile_for_inference(_quantized(run, job.side))
    return kd.compile_for_inference(run, runtime=runtime, precision=precision)


def _quantized(run, side):
    """The int8 file of a network in the cache; calibrated with the bundled images."""
    path = pathlib.Path(os.environ["KERAS_DEEPLAB_HOME"]) / "int8.xml"
    if not path.exists():
        from keras_deeplab.runtimes.quantizing import quantize
        from keras_deeplab.runtimes.source import find_source

        quantize(find_source(run), files.bundled_images(side), side, path)
    return path


def limit_threads(threads):
    """Lets this process use that many processors, before it imports any framework."""
    os.environ["OMP_NUM_THREADS"] = os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def peak_memory():
    """Largest memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def work(name, job, caches, connection):
    """Sends the `First` or what failed; (seconds, CPU seconds) of each further call; the `Last`."""
    limit_threads(job.threads)
    os.environ["KERAS_DEEPLAB_HOME"] = str(caches / "keras_deeplab")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(caches / "torch")
    image = np.load(files.image_file(job.folder, job.side))
    start = time.perf_counter()
    try:
        predict = contestant(name, job)
        logits = predict(image)
    except Exception as error:  # the other contestants go on
        text = str(error).strip().partition("\n")[0]
        return connection.send(f"{type(error).__name__}: {text[:200]}")
    connection.send(First(time.perf_counter() - start, peak_memory()))
    while connection.recv():
        del logits
        start, cpu = time.perf_counter(), time.process_time()
        logits = predict(image)
        connection.send((time.perf_counter() - start, time.process_time() - cpu))
    peak = peak_memory()
    reference = np.load(files.logits_file(job.folder, job.side))
    same = (logits.argmax(-1) == reference.argmax(-1)).mean()
    connection.send(Last(peak, same, np.abs(logits - reference).max()))


class Worker:
    """The process of a contestant, after its first call.

    Attributes:
        first: `First`, or `None` where it failed.
        failure: What failed, or `None`.
    """

    def __init__(self, name, job, caches):
        self.connection, far = SPAWN.Pipe()
        self.process = SPAWN.Process(target=work, args=(name, job, caches, far), daemon=True)
        self.process.start()
        far.close()
        try:
            answer = self.connection.recv()
        except EOFError:  # killed
            self.process.join()
            answer = f"the process ended with exit code {self.process.exitcode}"
        self.first, self.failure = (None, answer) if isinstance(answer, str) else (answer, None)

    def call(self):
        """Seconds and CPU seconds of one more call."""
        self.connection.send(True)
        return self.connection.recv()

    def end(self):
        """Ends the process and returns its `Last`."""
        self.connection.send(False)
        last = self.connection.recv()
        self.process.join()
        return last


class Result(typing.NamedTuple):
    """The measurements of a contestant."""

    cold: First  # with empty caches
    warm: First  # with filled ones
    calls: list[tuple[float, float]]  # seconds and CPU seconds of the further calls
    last: Last


def measure(names, job, repeats):
    """Measures the contestants.

    Returns:
        `Result` by name, or a text that says what failed.
    """
    results, colds, group = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: pathlib.Path(folder) / name for name in names}
        for name in names:
            worker = Worker(name, job, caches[name])
            if worker.failure:
                results[name] = worker.failure
            else:
                colds[name] = worker.first
                worker.end()
        for name in colds:
            if sum(worker.first.peak for worker in group.values()) > memory_of_machine() / 2:
                results |= take_turns(group, colds, repeats)
                group = {}
            worker = Worker(name, job, caches[name])
            if worker.failure:
                results[name] = worker.failure
            else:
                group[name] = worker
        results |= take_turns(group, colds, repeats)
    return {name: results[name] for name in names}


def take_turns(workers, colds, repeats):
    """Lets workers, by name, call in turns, and ends them; `Result` by name."""
    calls = {name: [] for name in workers}
    for _ in range(repeats):
        for name, worker in workers.items():
            calls[name].append(worker.call())
    return {
        name: Result(colds[name], worker.first, calls[name], worker.end())
        for name, worker in workers.items()
    }


def memory_of_machine():
    """MB of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6


def in_process(function, *args):
    """The result of a function that runs in a process of its own."""
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
        return pool.submit(function, *args).result()
