"""Time of the layers of one OpenVINO call, for `infer.py --profile`."""

import collections
import math
import pathlib
import tempfile
import typing

import inference_networks as files
import numpy as np
from inference_processes import limit_threads

LONGEST = 10  # layers to list
CALLS = 5  # the fastest one is listed


class LayerTime(typing.NamedTuple):
    """A layer that OpenVINO runs, often fused from several of the network."""

    milliseconds: float
    kind: str
    implementation: str  # instruction set and precision
    shapes: str  # of input, kernel and output
    operations: int  # of convolutions; 0 for others


def layer_times(job, precision):
    """`LayerTime` of every layer in the fastest of several calls, the longest first."""
    limit_threads(job.threads)
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    import keras_deeplab as kd
    from keras_deeplab.runtimes import openvino_runtime as runtime

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"model{runtime.SUFFIX}"
        runtime.convert(kd.load(job.folder / files.RUN), None, path, record="")
        core = runtime.import_openvino().Core()
        model = core.read_model(path)
        image = np.load(files.image_file(job.folder, job.side)).astype(np.float32)
        model.reshape([-1, *image.shape[1:]])
        options = {"INFERENCE_PRECISION_HINT": runtime.HINTS[precision], "PERF_COUNT": True}
        options["PERFORMANCE_HINT"] = "LATENCY"
        compiled = core.compile_model(model, "CPU", options)
    nodes = {node.get_friendly_name(): node for node in compiled.get_runtime_model().get_ops()}
    request = compiled.create_infer_request()
    calls = []
    for _ in range(CALLS):
        request.infer([image])
        calls.append([x for x in request.profiling_info if x.real_time])
    fastest = min(calls, key=lambda layers: sum(x.real_time.total_seconds() for x in layers))
    return sorted((_layer_time(x, nodes.get(x.node_name)) for x in fastest), reverse=True)


def _layer_time(info, node):
    shapes, operations = [], 0
    if node is not None:
        shapes = [_shape(port) for port in (*node.inputs()[:2], *node.outputs()[:1])]
        if info.node_type in ("Convolution", "GroupConvolution"):
            _, kernel, output = shapes
            # Kernels: (out, in, h, w), grouped (groups, out, in, h, w); outputs (N, C, H, W).
            operations = 2 * math.prod(kernel) * math.prod(output[2:])
    text = ", ".join("x".join(map(str, shape)) for shape in shapes)
    milliseconds = info.real_time.total_seconds() * 1e3
    return LayerTime(milliseconds, info.node_type, info.exec_type, text, operations)


def _shape(port):
    return [side.get_length() if side.is_static else 1 for side in port.get_partial_shape()]


def profile_lines(layers):
    """Markdown tables of the time by type and of the longest layers."""
    by_type = collections.defaultdict(list)
    for layer in layers:
        by_type[layer.kind, layer.implementation].append(layer)
    total = sum(layer.milliseconds for layer in layers)
    yield "| type | implementation | layers | ms | share | GFLOP/s |"
    yield "|---|---|---|---|---|---|"
    groups = [(*kind, len(group), *_sums(group)) for kind, group in by_type.items()]
    for kind, implementation, count, milliseconds, rate in sorted(groups, key=lambda x: -x[3]):
        figures = f"{milliseconds:.1f} | {milliseconds / total:.1%} | {rate}"
        yield f"| {kind} | {implementation} | {count} | {figures} |"
    yield f"| all | | {len(layers)} | {total:.1f} | | {_sums(layers)[1]} |"
    yield ""
    yield "| type | implementation | input, kernel, output | ms | GFLOP/s |"
    yield "|---|---|---|---|---|"
    for layer in layers[:LONGEST]:
        rate = _sums([layer])[1]
        yield (
            f"| {layer.kind} | {layer.implementation} | {layer.shapes} "
            f"| {layer.milliseconds:.1f} | {rate} |"
        )


def _sums(layers):
    """Milliseconds of some layers, and GFLOP/s as text; none where nothing is convolved."""
    milliseconds = sum(layer.milliseconds for layer in layers)
    operations = sum(layer.operations for layer in layers)
    return milliseconds, f"{operations / milliseconds / 1e6:.0f}" if operations else ""
