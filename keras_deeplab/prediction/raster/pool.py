"""Worker processes that predict the bands of one scene together."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import logging
import os
import pathlib
import queue
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Generator, Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.processes import how_it_ended, last_lines
from keras_deeplab.data.files.rasters import UnreadableFileError
from keras_deeplab.prediction.raster.band_files import BandRecord
from keras_deeplab.prediction.raster.bands import Band, runs
from keras_deeplab.prediction.raster.run import Run
from keras_deeplab.prediction.raster.run_key import Key
from keras_deeplab.runtimes.threads import environment

Message = dict[str, typing.Any]
CODE = """import sys
sys.path[:] = {}
from keras_deeplab.prediction.raster.worker import main
main()
"""

logger = logging.getLogger("keras_deeplab")


@dataclasses.dataclass(eq=False)
class Worker:
    """A worker process.

    Args:
        index: Its number.
        process: The process.
        log: File of its output.
        bands: Bands that are left to it; others may take some off the end.
        run: Bands that it was told to compute, of which the first is not finished.
        pixels: Pixels of this band that it has finished.
        idle: Whether it waits for bands.
        alive: Whether the process has not ended.
    """

    index: int
    process: subprocess.Popen[str]
    log: pathlib.Path
    bands: list[Band]
    run: list[Band] = dataclasses.field(default_factory=list)
    pixels: int = 0
    idle: bool = False
    alive: bool = True

    def send(self, **message: typing.Any) -> None:
        """Sends a message; one that is dead is found out by its end of the connection."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(message, default=_plain) + "\n")
            self.process.stdin.flush()


class Pool:
    """Processes that compute bands; each compiles the predictor for itself.

    Each begins with bands that follow each other, so that windows between them are computed once.
    One that has none left takes half of those of another, also of a dead one.

    Args:
        run: `Run`, whose predictor was made of a name or a file.
        key: Key of the run.
        count: Number of processes.
        threads: Threads of each process.
    """

    def __init__(self, run: Run, key: Key, count: int, threads: int) -> None:
        self._run, self._key, self._count, self._threads = run, key, count, threads
        self._workers: list[Worker] = []
        self._events: queue.SimpleQueue[tuple[Worker, Message | None]] = queue.SimpleQueue()

    def compute(
        self, bands: Sequence[Band], progress: Callable[[int], typing.Any]
    ) -> Generator[tuple[Band, BandRecord], None, None]:
        """Computes bands. All processes end with the generator, also early.

        Args:
            bands: The bands.
            progress: Function to call with a number of finished pixels, negative for those of a
                dead worker, which are computed again.

        Yields:
            Each band when it is finished, and its record.

        Raises:
            ChildProcessError: When all processes died.
        """
        missing = {band.index for band in bands}
        try:
            for index, share in enumerate(_shares(bands, self._count)):
                self._start(index, share)
            while missing:
                worker, message = self._events.get()
                if message is None:
                    progress(-worker.pixels)
                    self._bury(worker)
                elif "pixels" in message:
                    worker.pixels += message["pixels"]
                    progress(message["pixels"])
                elif "ready" in message:
                    self._give_bands(worker)
                elif "done" in message:
                    missing.remove(message["done"])
                    band = self._take_back(worker)
                    yield band, BandRecord(**message["record"])
                else:
                    raise _as_error(message["error"], worker)
        finally:
            self._end()

    def _start(self, index: int, bands: list[Band]) -> None:
        run = self._run
        log = run.layout.folder("classes") / f"worker-{index}.log"
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", CODE.format(sys.path)],
                env={**quiet, **os.environ, **environment(self._threads)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in the terminal reaches this process only
            )
        worker = Worker(index, process, log, bands)
        self._workers.append(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        predictor = run.predictor
        worker.send(
            parent=os.getpid(),
            model=(predictor.source, predictor.runtime, predictor.precision),
            options=run.options.to_json(),
            key=self._key,
            threads=self._threads,
        )

    def _listen(self, worker: Worker) -> None:
        assert worker.process.stdout is not None
        with worker.process.stdout as messages:
            for line in messages:
                try:
                    message = json.loads(line)
                except ValueError:  # it was killed in the middle of a line
                    break
                self._events.put((worker, message))
        self._events.put((worker, None))

    def _give_bands(self, worker: Worker) -> None:
        """Tells a worker what to compute; one without bands takes some of another."""
        if not worker.bands:
            worker.bands = self._spare_bands()
        worker.idle = not worker.bands
        if worker.bands:
            worker.run = next(runs(worker.bands))
            worker.send(bands=[band.index for band in worker.run])

    def _spare_bands(self) -> list[Band]:
        """Half of the bands of the worker with the most that it has not begun."""
        spare = {worker: worker.bands[bool(worker.run) :] for worker in self._workers}
        victim = max(spare, key=lambda worker: len(spare[worker]))
        taken = spare[victim][len(spare[victim]) // 2 :]
        victim.bands = victim.bands[: len(victim.bands) - len(taken)]
        return taken

    def _take_back(self, worker: Worker) -> Band:
        """The band that a worker has finished; tells it how to go on."""
        worker.pixels = 0
        band = worker.run.pop(0)
        worker.bands.pop(0)
        if worker.run:  # it asks whether the next one still is its own
            go_on = worker.bands[:1] == worker.run[:1]
            worker.send(go_on=go_on)
            if go_on:
                return band
            worker.run = []
        self._give_bands(worker)
        return band

    def _bury(self, worker: Worker) -> None:
        """Gives the bands of a dead worker to others; an error when there are none."""
        worker.alive = worker.idle = False
        how = how_it_ended(worker.process.wait())
        place = f"in {worker.run[0]} of " if worker.run else "before its first rows of "
        place += " ".join(self._run.options.sources)
        worker.run, worker.pixels = [], 0
        if not any(each.alive for each in self._workers):
            lines = "".join(f"\n  {line}" for line in last_lines(worker.log))
            raise ChildProcessError(
                f"All {len(self._workers)} workers ended, the last one (worker {worker.index}) "
                f"with {how} {place}. With SIGKILL the memory was probably full: take fewer "
                f"--workers.{' Its last lines:' if lines else ''}{lines}"
            )
        logger.warning("Worker %d ended with %s %s. Others go on.", worker.index, how, place)
        for other in self._workers:
            if other.idle:
                self._give_bands(other)

    def _end(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            assert worker.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                worker.process.stdin.close()


def _plain(number: typing.Any) -> typing.Any:
    """A number of NumPy, which options may be, as one of Python."""
    return number.item()


def _shares(bands: Sequence[Band], count: int) -> list[list[Band]]:
    """Bands in parts of nearly the same number."""
    ends = [len(bands) * number // count for number in range(count + 1)]
    return [list(bands[first:last]) for first, last in itertools.pairwise(ends)]


def _as_error(message: Message, worker: Worker) -> Exception:
    """The error that a worker has sent."""
    if message["kind"] == "unreadable":
        return UnreadableFileError(message["path"], message["reason"])
    if message["kind"] == "other":
        lines = "\n  ".join(last_lines(worker.log))
        return RuntimeError(f"Worker {worker.index} failed: {message['text']}\n  {lines}")
    return {"input": InputError, "os": OSError}[message["kind"]](message["text"])
