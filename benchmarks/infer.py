"""Speed, memory and agreement of inference, compared with PyTorch. The peer needs torch.

Run: python benchmarks/infer.py [--networks r18_d8 ...] [--sides 512 ...] [--contestants 'open*']
     python benchmarks/infer.py --profile r18_d8

A call predicts the logits of one uint8 image at the size of the image, with normalisation and
resizing. Ours are the installed runtimes of `keras_deeplab.compile_for_inference`; the peer is the
same network with the same weights in plain torch.nn, without auxiliary head. openvino-int8 (needs
nncf) is quantised with the three bundled images, in its first call with empty caches. The default
takes about 15 minutes on two cores; all networks at 512 and 1024 take more than an hour.

- Every contestant runs in its own process, on --threads processors. ONNX Runtime and LiteRT ignore
  that limit and start a thread per processor.
- best, median: seconds of --repeats calls after the first one; the contestants take turns. If they
  need more than half of the memory together, they run in groups.
- CPU: the least CPU seconds of a call; on a busy machine these vary less than seconds.
- Ratios: best seconds of PyTorch divided by those of the row; above 1 the row is faster. The first
  one is with eager NCHW float32, as mmsegmentation runs it.
- GFLOP/s: twice the multiply-adds of the convolutions, divided by the best seconds.
- Memory: peak of the process with filled caches, and in parentheses with empty ones.
- First call: seconds from the import of the framework to the first logits in a new process, with
  empty and with filled caches (KERAS_DEEPLAB_HOME, TORCHINDUCTOR_CACHE_DIR). Ours load a run.
- Same class, logits: share of pixels with the class of Keras in float32, and largest difference.
  `r50_d8` and `r101_d8` have random weights, so more of their pixels have almost equal scores.

PyTorch's threads wait without spinning unless OMP_WAIT_POLICY is set, as in `evaluate.py`.
"""

import argparse
import fnmatch
import importlib.metadata
import importlib.util
import os
import pathlib
import statistics
import sys
import tempfile

from inference_networks import write_network
from inference_processes import (
    DEFAULT,
    INT8,
    PEERS,
    Job,
    Result,
    in_process,
    limit_threads,
    measure,
    memory_of_machine,
)
from openvino_profile import layer_times, profile_lines

from keras_deeplab._internal.processor import cpu_flags, cpu_model
from keras_deeplab.runtimes.registry import RUNTIMES, installed_runtimes

NETWORKS = ("r18_d8", "r50_d8", "r101_d8")
INSTRUCTIONS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
INSTRUCTIONS += ("asimd", "sve", "bf16", "i8mm")  # ARM


def table(results, operations):
    """Lines of the Markdown table."""
    best = {name: min(x.calls)[0] for name, x in results.items() if isinstance(x, Result)}
    fastest = min([best[name] for name in PEERS if name in best], default=None)
    yield (
        "| | best, s | median, s | CPU, s | x PyTorch eager | x PyTorch's best | GFLOP/s "
        "| memory, MB | first call, empty caches, s | filled, s | same class | logits differ by |"
    )
    yield "|" + "---|" * 12
    for name, result in results.items():
        if name not in best:
            yield f"| {name} | failed: {result} |" + " |" * 10
            continue
        seconds, cpu = zip(*result.calls, strict=True)
        yield (
            f"| {name} | {best[name]:.3f} | {statistics.median(seconds):.3f} | {min(cpu):.3f} "
            f"| {ratio(best.get(DEFAULT), best[name])} | {ratio(fastest, best[name])} "
            f"| {operations / best[name] / 1e9:.0f} "
            f"| {result.last.peak:.0f} ({result.cold.peak:.0f}) "
            f"| {result.cold.seconds:.1f} | {result.warm.seconds:.1f} "
            f"| {result.last.same:.4%} | {result.last.difference:.2g} |"
        )


def ratio(peer, own):
    """A quotient as text; empty where there is no peer."""
    return "" if peer is None else f"{peer / own:.2f}"


def matrix_rates(threads):
    """GFLOP/s of PyTorch's matrix product by dtype."""
    limit_threads(threads)
    import torch_inference

    return torch_inference.matrix_rates()


def describe_machine(threads):
    """Prints processor, memory, versions and the rate of matrix products."""
    found = [name for name in INSTRUCTIONS if name in cpu_flags()]
    print(f"Processor: {cpu_model()}, {os.cpu_count()} cores, with {', '.join(found) or '?'}")
    print(f"Memory: {memory_of_machine() / 1e3:.0f} GB. Threads: {threads}.")
    versions = {"tensorflow": importlib.metadata.version("tensorflow")}
    for runtime in installed_runtimes():
        versions |= runtime.versions
    if has_torch():
        versions["torch"] = importlib.metadata.version("torch")
        rates = in_process(matrix_rates, threads).items()
        text = ", ".join(f"{dtype} {rate:.0f} GFLOP/s" for dtype, rate in rates)
        print(f"Matrix product in PyTorch: {text}")
    print("Versions:", ", ".join(f"{name} {version}" for name, version in versions.items()))


def has_torch():
    """Whether PyTorch is installed."""
    return importlib.util.find_spec("torch") is not None


def contestants(patterns):
    """Names of the installed contestants that match one of the patterns; says which are missing."""
    known = list(PEERS) if has_torch() else []
    missing = [] if known else ["torch"]
    for runtime in RUNTIMES.values():
        if runtime.installed:
            known += [f"{runtime.name}-{precision}" for precision in runtime.precisions]
        else:
            missing += runtime.packages
    if importlib.util.find_spec("nncf") is None:
        missing.append("nncf")
    elif RUNTIMES["openvino"].installed:
        known.append(INT8)
    if missing:
        print(f"Left out what needs these packages: pip install {' '.join(missing)}")
    names = [x for x in known if any(fnmatch.fnmatch(x, pattern) for pattern in patterns)]
    if not names:
        sys.exit(f"No such contestant; installed: {', '.join(known)}")
    return names


def profile(options):
    """Prints the time of OpenVINO's layers."""
    if importlib.util.find_spec("openvino") is None:
        sys.exit("OpenVINO is missing: pip install openvino")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        in_process(write_network, options.profile, options.sides, folder)
        for side in options.sides:
            job = Job(options.profile, folder, side, options.threads)
            for precision in ("float32", "bfloat16"):
                print(f"\n{job.network}, {side} x {side}, {precision}\n")
                for line in profile_lines(in_process(layer_times, job, precision)):
                    print(line, flush=True)


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS[:2], choices=NETWORKS)
    parser.add_argument("--sides", nargs="+", type=int, default=[512])
    parser.add_argument("--contestants", nargs="+", default=["*"], help="patterns: '*-bfloat16'")
    parser.add_argument("--repeats", type=int, default=5, help="calls after the first one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--profile", choices=NETWORKS, help="time of OpenVINO's layers instead")
    options = parser.parse_args()
    names = contestants(options.contestants)
    describe_machine(options.threads)
    if options.profile:
        return profile(options)
    for network in options.networks:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            operations = in_process(write_network, network, options.sides, folder)
            for side in options.sides:
                job = Job(network, folder, side, options.threads)
                print(f"\n{network}, {side} x {side}, {operations[side] / 1e9:.0f} GFLOP\n")
                for line in table(measure(names, job, options.repeats), operations[side]):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
