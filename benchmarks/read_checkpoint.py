"""Reading a 240 MB checkpoint: time and peak memory compared with torch.load. Needs PyTorch.

Run: python benchmarks/read_checkpoint.py

Every measurement runs in its own process, which imports first, then reads the file and sums every
tensor, so that the cost of memory-mapped views is included. Memory is the growth of the resident
size.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

MEGABYTE = 2**20
TENSORS, TENSOR_MEGABYTES = 60, 4
REPEATS = 5
LIMITS = {"time": 1.5, "memory": 1.3}


def resident(field):
    """A memory figure of this process in bytes; Linux only."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def write(path, legacy):
    """Writes the checkpoint."""
    import torch

    size = TENSOR_MEGABYTES * MEGABYTE // 4
    tensors = {f"layer{index}.weight": torch.randn(size) for index in range(TENSORS)}
    checkpoint = {"meta": {"epoch": 1}, "state_dict": tensors}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=not legacy)


def measure(reader, path):
    """Prints seconds to read, seconds to read and sum, and bytes of memory growth."""
    if reader == "torch":
        import torch

        def read():
            return torch.load(path, mmap=False, weights_only=True)["state_dict"]
    else:
        from keras_deeplab.checkpoints.pytorch.reader import read_torch_checkpoint

        def read():
            return read_torch_checkpoint(path).state_dict

    before = resident("VmRSS")
    start = time.perf_counter()
    tensors = read()
    seconds = time.perf_counter() - start
    total = sum(float(tensor.sum()) for tensor in tensors.values())
    with_sum = time.perf_counter() - start
    print(json.dumps([seconds, with_sum, resident("VmHWM") - before, total]))


def run(*args):
    """Runs this script in a new process and returns what it printed."""
    command = [sys.executable, __file__, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout or "null")


def compare(path, legacy):
    """Measures both readers in turns and prints the ratios."""
    run("write", path, int(legacy))
    rows = {"torch": [], "keras_deeplab": []}
    for _ in range(REPEATS):
        for reader, figures in rows.items():
            figures.append(run(reader, path))
    size = TENSORS * TENSOR_MEGABYTES * MEGABYTE
    best = {reader: [min(column) for column in zip(*rows[reader], strict=True)] for reader in rows}
    print(f"{'legacy' if legacy else 'zip'}, {size // MEGABYTE} MiB, best of {REPEATS}")
    for reader, (seconds, with_sum, memory, _) in best.items():
        print(
            f"  {reader:14} read {seconds:.3f} s, read and sum {with_sum:.3f} s, "
            f"memory {memory / size:.2f} x the tensors"
        )
    ours, theirs = best["keras_deeplab"], best["torch"]
    print(
        f"  ratio          read {ours[0] / theirs[0]:.2f}, read and sum {ours[1] / theirs[1]:.2f} "
        f"(at most {LIMITS['time']}); memory at most {LIMITS['memory']}"
    )
    fits = ours[0] <= LIMITS["time"] * theirs[0] and ours[1] <= LIMITS["time"] * theirs[1]
    return fits and ours[2] <= LIMITS["memory"] * size


def main():
    """Compares both formats; exits with 1 when a limit is exceeded."""
    if len(sys.argv) > 1:
        action, path, *rest = sys.argv[1:]
        if action == "write":
            write(path, legacy=rest == ["1"])
        else:
            measure(action, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "checkpoint.pth"
        fits = [compare(path, legacy) for legacy in (False, True)]
    print("within the limits" if all(fits) else "OVER THE LIMITS")
    sys.exit(not all(fits))


if __name__ == "__main__":
    main()
