"""How much memory this process may still take."""

import os
import pathlib
from collections.abc import Iterator

UNKNOWN = 4 * 2**30  # bytes, where the system does not tell

# Limit, usage and reclaimable file cache of a control group, in versions 2 and 1.
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory(root: str | os.PathLike[str] = "/") -> int:
    """Bytes that are available now: of the machine, and of the container where it has a limit.

    Args:
        root: Folder of `proc` and `sys`.
    """
    root = pathlib.Path(root)
    return max(min([_of_machine(root), *_of_groups(root)]), 0)


def _of_machine(root: pathlib.Path) -> int:
    try:
        return _values(root / "proc/meminfo")["MemAvailable"] * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        pass
    try:  # Half, because the system does not tell how much of it is in use.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return UNKNOWN


def _of_groups(root: pathlib.Path) -> Iterator[int]:
    """Yields what the limits of the control groups leave: of that of the process and all above."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        files, top = (V1, "memory") if controllers else (V2, "")
        mount = root / "sys/fs/cgroup" / top
        group = mount / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount):
                yield from _of_group(folder, *files)


def _of_group(folder: pathlib.Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    try:
        most, used = (int((folder / name).read_text(encoding="utf-8")) for name in (limit, usage))
        yield most - used + _values(folder / "memory.stat").get(cache, 0)
    except (OSError, ValueError):  # no such group seen from a container, or no limit ("max")
        return


def _values(path: pathlib.Path) -> dict[str, int]:
    """Numbers by name of a file with lines such as `MemFree:  1024 kB`."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {words[0].strip(":"): int(words[1]) for words in lines if len(words) > 1}
