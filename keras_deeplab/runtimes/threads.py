"""How many threads a runtime may take: one that shares the machine with others is told."""

from __future__ import annotations

import os

VARIABLE = "KERAS_DEEPLAB_THREADS"  # set in worker processes


def processors() -> int:
    """Number of processors of this process; those of the machine where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def told_threads() -> int | None:
    """Threads that this process was told to take; `None`: what the runtime takes by itself."""
    told = os.environ.get(VARIABLE)
    return int(told) if told else None


def environment(threads: int) -> dict[str, str]:
    """Environment variables of a process that is to take this many threads."""
    return {VARIABLE: str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
