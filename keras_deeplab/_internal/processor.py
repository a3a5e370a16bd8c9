"""The processor of this machine: its name and its instructions."""

import functools
import pathlib
import platform


def cpu_model() -> str | None:
    """Name of the processor, or `None` where the system does not tell."""
    lines = _cpuinfo()
    if not lines:
        return platform.processor() or None
    return _values(lines, "model name") or platform.machine()  # ARM's file has no model names


def has_amx() -> bool:
    """Whether it multiplies bfloat16 matrices in tiles, several times faster than float32."""
    return "amx_bf16" in cpu_flags()


def has_bfloat16() -> bool:
    """Whether it has bfloat16 instructions; without them bfloat16 is slower than float32."""
    return bool(cpu_flags() & {"amx_bf16", "avx512_bf16", "bf16"})  # the last one: ARM


@functools.cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets of the processor by their names in Linux; empty on other systems."""
    lines = _cpuinfo()
    return frozenset((_values(lines, "flags") or _values(lines, "Features")).split())


def _cpuinfo() -> list[str]:
    try:
        return pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []


def _values(lines: list[str], key: str) -> str:
    """What the file says of the first core; empty where it says nothing."""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in found if name.strip() == key), "")
