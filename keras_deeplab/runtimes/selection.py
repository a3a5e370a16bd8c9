"""Which runtime and precision is the fastest for a model on this machine, measured once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pathlib
import platform
import time
import typing
from collections.abc import Callable, Sequence

import numpy as np

from keras_deeplab import __version__
from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import write_json
from keras_deeplab._internal.processor import cpu_flags, cpu_model
from keras_deeplab.runtimes.check_batch import check_batch
from keras_deeplab.runtimes.converted import model_folder
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.runtimes.registry import RUNTIMES, Runtime, package_version
from keras_deeplab.runtimes.source import ModelSource

AGREEMENT = 0.995  # of the pixels keep the class of Keras in float32
ROUNDS = 3
HOPELESS = 2.0  # times the fastest so far: no further calls
KERAS_LEAD = 1.25  # times as fast as others it has to be: it takes seconds longer to start

logger = logging.getLogger("keras_deeplab")


class Candidate(typing.NamedTuple):
    """A runtime with a precision."""

    runtime: Runtime
    precision: str


class Measured(typing.NamedTuple):
    """What was measured of a candidate: seconds per image, share of pixels of the same class."""

    candidate: Candidate
    seconds: float
    agreement: float


REFERENCE = Candidate(RUNTIMES["keras"], "float32")


def choose(
    source: ModelSource,
    candidates: Sequence[Candidate],
    compile_candidate: Callable[[ModelSource, Candidate], Predictor],
) -> Candidate:
    """The fastest candidate that agrees with Keras in float32; remembered in the cache."""
    if source.check_image is None:  # nothing to judge a loss of precision with
        candidates = [each for each in candidates if each.precision == "float32"] or candidates
    if len(candidates) == 1:
        return candidates[0]
    path = model_folder(source.key) / f"choice-{_machine(candidates)}.json"
    known = _read_choice(path, candidates)
    if known is not None:
        return known
    logger.warning("Measuring the fastest runtime for %s, once ...", source.network.name)
    results = _measure(source, candidates, compile_candidate)
    agreeing = [each for each in results if each.agreement >= AGREEMENT]
    best = min(agreeing, key=_cost, default=None)
    logger.warning("%s", _table(source, best, results))
    if best is None:
        raise InputError(
            f"No runtime gives the classes of Keras in float32 on {AGREEMENT:.1%} of the pixels of "
            f"{source.network.name}. Name a runtime and a precision to take it all the same."
        )
    runtime, precision = best.candidate
    try:
        write_json(path, {"runtime": runtime.name, "precision": precision})
    except OSError as error:
        logger.warning("The choice is not remembered: %s.", error)
    return best.candidate


def _cost(measured: Measured) -> float:
    return measured.seconds * (KERAS_LEAD if measured.candidate.runtime.name == "keras" else 1)


def _machine(candidates: Sequence[Candidate]) -> str:
    """Changes with the processor, and with what is installed."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"  # others convert nothing
    found = [
        (platform.machine(), cpu_model(), sorted(cpu_flags()), os.cpu_count(), __version__),
        (backend, package_version(backend)),
        [(each.runtime.name, each.runtime.versions, each.precision) for each in candidates],
    ]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _read_choice(path: pathlib.Path, candidates: Sequence[Candidate]) -> Candidate | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        named = {(each.runtime.name, each.precision): each for each in candidates}
        return named.get((record["runtime"], record["precision"]))
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return None


def _measure(
    source: ModelSource,
    candidates: Sequence[Candidate],
    compile_candidate: Callable[[ModelSource, Candidate], Predictor],
) -> list[Measured]:
    images = check_batch(source)
    expected = compile_candidate(source, REFERENCE)(images).argmax(-1)
    predictors: dict[Candidate, Predictor] = {}
    agreement = {}
    for candidate in candidates:
        try:
            predictor = compile_candidate(source, candidate)
            agreement[candidate] = float((predictor(images).argmax(-1) == expected).mean())
            predictors[candidate] = predictor
        except Exception as error:  # nothing is converted on JAX; an install may be broken
            logger.warning("%s is left out: %s", candidate.runtime.name, error)
            failure = error
    if not predictors:
        raise failure
    seconds = _shortest_calls(predictors, images)
    return [Measured(each, seconds[each], agreement[each]) for each in predictors]


def _shortest_calls(
    predictors: dict[Candidate, Predictor], images: np.ndarray
) -> dict[Candidate, float]:
    """Seconds of the shortest of some calls. They take turns, so that other load is shared."""
    shortest = dict.fromkeys(predictors, np.inf)
    for _ in range(ROUNDS):
        fastest = min(shortest.values())
        for candidate, predictor in predictors.items():
            if np.inf > shortest[candidate] > HOPELESS * fastest:
                continue
            start = time.perf_counter()
            predictor(images)
            shortest[candidate] = min(shortest[candidate], time.perf_counter() - start)
    return shortest


def _table(source: ModelSource, best: Measured | None, results: Sequence[Measured]) -> str:
    lines = [f"{source.network.name}: seconds an image, and pixels of the same class as in Keras:"]
    for each in sorted(results, key=lambda each: each.seconds):
        mark = "->" if each is best else "  "
        name = f"{each.candidate.runtime.name} {each.candidate.precision}"
        lines.append(f"{mark} {name:18} {each.seconds:6.2f} s {each.agreement:8.2%}")
    if any(each.candidate.runtime.name == "keras" for each in results):
        lines.append(f"(keras only where it is {KERAS_LEAD:g} times as fast: it starts slower)")
    return "\n".join(lines)
