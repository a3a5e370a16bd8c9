"""Time and memory of a training step, compared with PyTorch. Needs `pip install torch`.

Run: python benchmarks/train.py [--variants r18_d8 r50_d8] [--dtypes float32 bfloat16] [--steps 7]
         [--batch 4] [--threads 2] [--cpu-seconds]

The peer is the same network in plain torch.nn, in channels_last and with PyTorch's autocast. Both
start from the same weights, train on the same batch of crops of 256 with an auxiliary head, and
update with SGD, momentum and L2. Each runs in its own process, whose peak memory is reported; the
two take turns, step by step, and the seconds are those of the median step. Both train without
dropout, so the losses of the first step, in the last column, should agree. The memory before that
step, of framework and network, is in parentheses.

On a machine with other work, `--threads 1 --cpu-seconds` compares the work instead of the time:
with more threads, those of PyTorch spin while they wait for each other.
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

CROP, CLASSES, IGNORE = 256, 6, 255
RATE, MOMENTUM, L2, AUX_WEIGHT = 0.01, 0.9, 5e-4, 0.4
UNTIMED = 1  # step at the start: compilation, buffers
VARIANTS = ("r18_d8", "r50_d8", "efl0_d16")
WEIGHTS = "weights.npz"


def batch(size):
    """Images `(size, 256, 256, 3)` in 0..255 and labels in cells of 32 pixels, a few ignored."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES + 1, (size, CROP // 32, CROP // 32))
    labels = np.where(labels == CLASSES, IGNORE, labels).repeat(32, 1).repeat(32, 2)
    images = rng.integers(0, 256, (size, CROP, CROP, 3))
    return images.astype(np.float32), labels.astype(np.uint8)


def our_step(variant, dtype, size, threads, folder):
    """A function that trains this package's network for one step and returns the loss."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    import keras_deeplab as kd
    from keras_deeplab.checkpoints.state_dict import to_state_dict
    from keras_deeplab.training.loop.deterministic import deterministic_gradients

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else dtype)
    model = kd.build(variant, CLASSES, aux_head=True, dropout=0.0)
    np.savez(folder / WEIGHTS, **to_state_dict(model))
    kd.compile_for_training(model, kd.Recipe(learning_rate=RATE, weight_decay=L2))
    images, labels = batch(size)

    def step():
        with deterministic_gradients():  # as keras_deeplab.train does
            return float(model.train_on_batch(images, labels))

    return step


def torch_step(variant, dtype, size, threads, folder):
    """The same for the network in PyTorch, from the weights written by our process."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch_deeplab import DeepLab

    from keras_deeplab.models.variants import get_backbone

    if threads:
        torch.set_num_threads(threads)
    backbone = get_backbone(variant)
    model = DeepLab(variant, CLASSES).to(memory_format=torch.channels_last)
    with np.load(folder / WEIGHTS) as arrays:
        model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=L2)
    pixels, labels = batch(size)
    normalised = (pixels - np.float32(backbone.mean)) / np.float32(backbone.std)
    images = torch.from_numpy(normalised).permute(0, 3, 1, 2)
    labels = torch.from_numpy(labels.astype(np.int64))

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            outputs = model(images)
        main, auxiliary = (
            cross_entropy(logits.float(), labels, ignore_index=IGNORE, reduction="none").mean()
            for logits in outputs
        )
        loss = main + AUX_WEIGHT * auxiliary
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def work(make_step, clock, connection, *arguments):
    """Sends its memory, seconds and loss of each requested step, and its memory again."""
    step = make_step(*arguments)
    connection.send(peak_memory())
    while connection.recv():
        start = clock()
        loss = step()
        connection.send((clock() - start, loss))
    connection.send(peak_memory())


def peak_memory():
    """Peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def compare(variant, dtype, options):
    """Runs both frameworks in turns.

    Args:
        variant: Name of the network.
        dtype: `"float32"` or `"bfloat16"`.
        options: Options of the command.

    Returns:
        For ours, then for PyTorch: the median seconds, the first loss, and the memory in MB before
        the first step and at its peak.
    """
    context = multiprocessing.get_context("spawn")
    clock = time.process_time if options.cpu_seconds else time.perf_counter
    ends, before, taken = [], [], [[], []]
    with tempfile.TemporaryDirectory() as folder:
        for make_step in (our_step, torch_step):  # ours first: it writes the weights
            near, far = context.Pipe()
            network = (variant, dtype, options.batch, options.threads, pathlib.Path(folder))
            arguments = (make_step, clock, far, *network)
            context.Process(target=work, args=arguments, daemon=True).start()
            far.close()
            before.append(near.recv())
            ends.append(near)
    for _ in range(UNTIMED + options.steps):
        for end, figures in zip(ends, taken, strict=True):
            end.send(True)
            figures.append(end.recv())
    for end in ends:
        end.send(False)
    return [
        (statistics.median(x for x, _ in figures[UNTIMED:]), figures[0][1], start, end.recv())
        for end, figures, start in zip(ends, taken, before, strict=True)
    ]


def main():
    """Prints a row per network and dtype."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", default=VARIANTS[:2], choices=VARIANTS)
    dtypes = ("float32", "bfloat16")
    parser.add_argument("--dtypes", nargs="+", default=dtypes, choices=dtypes)
    parser.add_argument("--steps", type=int, default=7, help="timed steps of each framework")
    parser.add_argument("--batch", type=int, default=4, help="samples of a step")
    parser.add_argument("--threads", type=int, default=0, help="of each; 0: all processors")
    parser.add_argument("--cpu-seconds", action="store_true", help="report these, not the time")
    options = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        sys.exit("PyTorch is missing: pip install torch (its CPU build: see pytorch.org).")
    print("| network | PyTorch, s | ours, s | ratio | PyTorch, MB | ours, MB | ratio | losses |")
    print("|---|---|---|---|---|---|---|---|")
    for variant in options.variants:
        for dtype in options.dtypes:
            ours, peer = compare(variant, dtype, options)
            print(
                f"| {variant} {dtype} | {peer[0]:.2f} | {ours[0]:.2f} | {ours[0] / peer[0]:.2f} "
                f"| {peer[3]:.0f} ({peer[2]:.0f}) | {ours[3]:.0f} ({ours[2]:.0f}) "
                f"| {ours[3] / peer[3]:.2f} | {peer[1]:.5f}, {ours[1]:.5f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
