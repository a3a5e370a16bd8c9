"""Time, memory and results of an evaluation, compared with PyTorch. Needs torch, opencv-python.

Run: python benchmarks/evaluate.py [--dtypes float32 bfloat16] [--images 3] [--size SIDE]

The peer is the published test protocol as mmsegmentation runs it, on the network in plain torch.nn:
every view is resized by OpenCV and predicted separately, without auxiliary head; its logits are
resized to the view, mirrored back, resized to the image; then softmax, sum, argmax, areas. The peer
uses the faster of NCHW and channels_last, chosen on the first image. Both use the weights of
`r18_dubai` and the bundled images. Each runs in its own process, whose peak memory is reported; the
two take turns, image by image. Seconds are those of the median image and, in parentheses, the sum;
ratios are PyTorch's over ours, for these seconds and for the sum of CPU seconds. PyTorch's threads
wait without spinning unless OMP_WAIT_POLICY is set: on a busy machine spinning makes PyTorch many
times slower. Use --size only to try the script.

OpenCV rounds some resized pixels by one level differently: pixels with two almost equal scores may
change class.
"""

import argparse
import importlib.util
import multiprocessing
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time

import numpy as np

CLASSES, IGNORE = 5, 255
PROTOCOLS = {  # scales, whether mirrored too
    "single scale": ((1.0,), False),
    "6 scales + flip": ((0.5, 0.75, 1.0, 1.25, 1.5, 1.75), True),
}
MODEL = "r18_dubai"
EXAMPLES = pathlib.Path(__file__).parents[1] / "examples" / "dubai"
WEIGHTS, PAIRS = "weights.npz", "pairs.npz"
LIMIT = 0.0005  # of the difference in mIoU to PyTorch's float32


class Ours:
    """This package; writes weights and image pairs for the peer."""

    layout = "NHWC"

    def __init__(self, folder, dtype, images, size):
        from keras_deeplab.commands.startup import import_tensorflow

        import_tensorflow()
        import keras

        import keras_deeplab as kd
        from keras_deeplab.checkpoints.state_dict import to_state_dict
        from keras_deeplab.evaluation.metrics import SegmentationMetrics

        keras.config.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else dtype)
        self.model = kd.load(MODEL)
        self.metrics = SegmentationMetrics(CLASSES)
        np.savez(folder / WEIGHTS, **to_state_dict(self.model))
        table = kd.data.read_class_table(EXAMPLES / "classes.json")
        pairs = kd.data.from_folder(EXAMPLES / "images", EXAMPLES / "masks", table)
        arrays = [array.numpy()[:size, :size] for pair in pairs.take(images) for array in pair]
        np.savez(folder / PAIRS, *arrays)

    def run(self, image, label, scales, flip):
        """Predicts an image as `evaluate` does, counts it, and returns its classes `(H, W)`."""
        from keras_deeplab.evaluation.predictions import predictions
        from keras_deeplab.prediction.protocols import Protocol
        from keras_deeplab.runtimes.predictor import as_predictor

        protocol = Protocol(scales=scales, flip=flip)
        (prediction,) = predictions(as_predictor(self.model), [(image, label)], protocol)
        classes = prediction.views[-1].argmax(-1)
        self.metrics.update(label, classes)
        return classes

    def miou(self):
        """Mean IoU of all images so far."""
        return self.metrics.result()["mIoU"]


def read_pairs(folder):
    """List of `(image, label)`."""
    with np.load(folder / PAIRS) as arrays:
        flat = [arrays[name] for name in arrays]
    return list(zip(flat[::2], flat[1::2], strict=True))


def work(contestant, connection, protocol, dtype, folder, images, size):
    """Evaluates the requested images; sends times and classes, then mIoU, peak memory, layout."""
    if contestant == "PyTorch":
        # Otherwise idle threads spin until the others finish: seconds per view on a busy machine.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        from torch_evaluation import Peer

        pairs = read_pairs(folder)
        own = Peer(folder / WEIGHTS, pairs[0][0], CLASSES, dtype)
    else:
        own = Ours(folder, dtype, images, size)
        pairs = read_pairs(folder)
    own.run(pairs[0][0][:64, :64], np.full((64, 64), IGNORE, np.uint8), (1.0,), True)  # start-up
    connection.send(len(pairs))
    while (index := connection.recv()) is not None:
        start, cpu = time.perf_counter(), time.process_time()
        classes = own.run(*pairs[index], *PROTOCOLS[protocol])
        connection.send((time.perf_counter() - start, time.process_time() - cpu, classes))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    connection.send((own.miou(), peak, str(own.layout).removeprefix("torch.")))


def compare(protocol, dtype, images, size):
    """Runs both frameworks in turns.

    Returns:
        For ours, then for PyTorch: the list of (seconds, CPU seconds, classes) of every image, and
        (mIoU, peak memory in MB, layout).
    """
    context = multiprocessing.get_context("spawn")
    ends, taken = [], [[], []]
    with tempfile.TemporaryDirectory() as folder:
        for contestant in ("ours", "PyTorch"):  # ours first: it writes the files
            near, far = context.Pipe()
            arguments = (contestant, far, protocol, dtype, pathlib.Path(folder), images, size)
            context.Process(target=work, args=arguments, daemon=True).start()
            far.close()
            count = near.recv()
            ends.append(near)
    for index in range(count):
        for end, figures in zip(ends, taken, strict=True):
            end.send(index)
            figures.append(end.recv())
    for end in ends:
        end.send(None)
    return [(figures, end.recv()) for end, figures in zip(ends, taken, strict=True)]


def row(name, ours, peer, reference):
    """One row of the table; `reference` is the mIoU of PyTorch in float32."""
    theirs, mine = ([x for x, _, _ in figures] for figures, _ in (peer, ours))
    medians = statistics.median(theirs), statistics.median(mine)
    their_cpu, my_cpu = (sum(x for _, x, _ in figures) for figures, _ in (peer, ours))
    maps = [(a, b) for (_, _, a), (_, _, b) in zip(ours[0], peer[0], strict=True)]
    other = sum((a != b).sum() for a, b in maps) / sum(a.size for a, _ in maps)
    (our_miou, our_peak, _), (peer_miou, peer_peak, layout) = ours[1], peer[1]
    return (
        f"| {name} | {medians[0]:.2f} ({sum(theirs):.1f}) | {medians[1]:.2f} ({sum(mine):.1f}) "
        f"| {medians[0] / medians[1]:.2f} | {their_cpu / my_cpu:.2f} "
        f"| {peer_peak:.0f} | {our_peak:.0f} | {peer_miou:.5f} | {our_miou:.5f} "
        f"| {peer_miou - reference:+.5f}, {our_miou - reference:+.5f} | {other:.4%} | {layout} |"
    )


def main():
    """Prints a row per protocol and dtype; exits with 1 if our mIoU is beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    dtypes = ("float32", "bfloat16")
    parser.add_argument("--dtypes", nargs="+", default=dtypes[:1], choices=dtypes)
    parser.add_argument("--protocols", nargs="+", default=list(PROTOCOLS), choices=PROTOCOLS)
    parser.add_argument("--images", type=int, default=3, help="number of images")
    parser.add_argument("--size", type=int, help="crop the images to this side")
    options = parser.parse_args()
    missing = [name for name in ("torch", "cv2") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} missing: pip install torch opencv-python-headless")
    print("| protocol, dtype | PyTorch, s | ours, s | ratio | CPU ratio ", end="")
    print("| PyTorch, MB | ours, MB | PyTorch mIoU | ours mIoU ", end="")
    print("| from PyTorch's float32 | other class | PyTorch's layout |")
    print("|" + "---|" * 12)
    within = True
    for protocol in options.protocols:
        reference = None
        for dtype in dtypes[: 1 + ("bfloat16" in options.dtypes)]:  # float32 is the reference
            ours, peer = compare(protocol, dtype, options.images, options.size)
            reference = peer[1][0] if reference is None else reference
            print(row(f"{protocol} {dtype}", ours, peer, reference), flush=True)
            within &= abs(ours[1][0] - reference) <= LIMIT
    sys.exit(not within)


if __name__ == "__main__":
    main()
