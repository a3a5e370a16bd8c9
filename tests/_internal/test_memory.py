"""Available memory, as the files of Linux say it and as this machine has it."""

import os

import pytest

from keras_deeplab._internal.memory import UNKNOWN, available_memory

GIB = 2**30


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine(tmp_path):
    """A root folder of a machine with 8 GiB available of 16."""
    lines = f"MemTotal: {16 * 2**20} kB\nMemAvailable: {8 * 2**20} kB\n"
    write(tmp_path, {"proc/meminfo": lines})
    return tmp_path


def test_available_not_total(machine):
    assert available_memory(machine) == 8 * GIB


def test_the_limit_of_a_container(machine):
    """What is in use counts, but not the file cache that the kernel gives back."""
    group = "sys/fs/cgroup/"
    write(
        machine,
        {
            "proc/self/cgroup": "0::/\n",
            group + "memory.max": f"{4 * GIB}\n",
            group + "memory.current": f"{3 * GIB}\n",
            group + "memory.stat": f"anon {2 * GIB}\ninactive_file {GIB}\n",
        },
    )
    assert available_memory(machine) == 2 * GIB


def test_the_lowest_limit_of_nested_groups(machine):
    group = "sys/fs/cgroup/jobs/"
    write(
        machine,
        {
            "proc/self/cgroup": "0::/jobs/one\n",
            group + "memory.max": f"{2 * GIB}",
            group + "memory.current": "0",
            group + "memory.stat": "inactive_file 0\n",
            group + "one/memory.max": "max",
            group + "one/memory.current": "0",
        },
    )
    assert available_memory(machine) == 2 * GIB


def test_groups_of_version_1(machine):
    group = "sys/fs/cgroup/memory/docker/"
    write(
        machine,
        {
            "proc/self/cgroup": "5:cpu:/docker\n4:memory:/docker\n",
            group + "memory.limit_in_bytes": f"{GIB}",
            group + "memory.usage_in_bytes": f"{GIB // 2}",
            group + "memory.stat": "inactive_file 5\ntotal_inactive_file 0\n",
        },
    )
    assert available_memory(machine) == GIB // 2


def test_without_the_files_of_linux(tmp_path, monkeypatch):
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert available_memory(tmp_path) == total // 2
    monkeypatch.delattr(os, "sysconf")
    assert available_memory(tmp_path) == UNKNOWN


def test_this_machine():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < available_memory() < total
