"""Training samples per CPU second, compared with a pipeline of OpenCV and NumPy. Needs OpenCV.

Run: python benchmarks/input_pipeline.py [--quick]
 or: python benchmarks/input_pipeline.py --scene SCENE.tif POLYGONS FIELD [--quick]

Both make batches of 16 crops of 512 from decoded tiles in memory, with the published augmentation.
The peer implements the published description with OpenCV; its two single-threaded processes fill
batches in shared memory. The two take turns. CPU seconds are those of all threads and processes of
a turn, which other jobs on the machine disturb least; the figures are those of the median round.

With --scene, samples of a scene with polygons are compared with those of its tiles of 512 with
masks, in a folder, which are decoded once. OpenCV is not needed.
"""

import multiprocessing
import os
import pathlib
import sys
import tempfile
import time
from multiprocessing import shared_memory

import numpy as np

CROP, BATCH, CORES = 512, 16, 2
RATIOS, TILES = (0.5, 2.0), 8
UNTIMED = 6  # batches at the start of a turn, more than any buffer holds
LIMIT = 1.5
COLOR, IGNORE = (124, 116, 104), 255
BATCH_SHAPE, BATCH_BYTES = (BATCH, CROP, CROP, 4), BATCH * CROP * CROP * 4


def make_tiles(side):
    """Smooth images and label maps of 32 x 32 cells; one class covers half of the cells."""
    rng = np.random.default_rng(0)
    tiles = []
    for _ in range(TILES):
        coarse = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        image = coarse.repeat(8, 0).repeat(8, 1) // 2 + rng.integers(
            0, 128, (side, side, 3), dtype=np.uint8
        )
        cells = np.maximum(rng.integers(0, 10, (side // 32, side // 32)) - 4, 0)
        tiles.append((image, cells.repeat(32, 0).repeat(32, 1).astype(np.uint8)))
    return tiles


def linear(image, factor=1.0, delta=0.0):
    """`image * factor + delta`, clipped and truncated to uint8."""
    return np.clip(image.astype(np.float32) * factor + delta, 0, 255).astype(np.uint8)


def distort(image, rng):
    """The published photometric distortion."""
    import cv2

    contrast_first = rng.random() < 0.5
    if rng.random() < 0.5:
        image = linear(image, delta=rng.uniform(-32, 32))
    if contrast_first and rng.random() < 0.5:
        image = linear(image, rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = linear(hsv[..., 1], rng.uniform(0.5, 1.5))
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + rng.integers(-18, 18)) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if not contrast_first and rng.random() < 0.5:
        image = linear(image, rng.uniform(0.5, 1.5))
    return image


def peer_sample(image, label, rng):
    """One sample of the peer: resize, crop, flip, distort, pad."""
    import cv2

    ratio = rng.uniform(*RATIOS)
    size = [int(side * ratio + 0.5) for side in label.shape[::-1]]
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    for _ in range(11):
        y, x = (rng.integers(0, max(side - CROP, 0) + 1) for side in label.shape)
        window = label[y : y + CROP, x : x + CROP]
        values, counts = np.unique(window, return_counts=True)
        counts = counts[values != IGNORE]
        if len(counts) > 1 and counts.max() / counts.sum() < 0.75:
            break
    image, label = image[y : y + CROP, x : x + CROP], window
    if rng.random() < 0.5:
        image, label = np.flip(image, 1), np.flip(label, 1)
    image = distort(image, rng)
    padding = (0, CROP - label.shape[0], 0, CROP - label.shape[1], cv2.BORDER_CONSTANT)
    return (
        cv2.copyMakeBorder(image, *padding, value=COLOR),
        cv2.copyMakeBorder(np.ascontiguousarray(label), *padding, value=IGNORE),
    )


def split(buffer):
    """Images and labels of a batch in shared memory."""
    pixels = np.ndarray(BATCH_SHAPE, np.uint8, buffer).reshape(-1)
    images, labels = np.split(pixels, [BATCH_BYTES // 4 * 3])
    return images.reshape(BATCH, CROP, CROP, 3), labels.reshape(BATCH, CROP, CROP)


def peer_worker(tiles, name, seed, orders, done):
    """Fills a batch per order; ends at the order `False`."""
    import cv2

    cv2.setNumThreads(0)
    memory = shared_memory.SharedMemory(name)
    images, labels = split(memory.buf)
    rng = np.random.default_rng(seed)
    while orders.get():
        for index in range(BATCH):
            images[index], labels[index] = peer_sample(*tiles[rng.integers(len(tiles))], rng)
        done.put((seed, time.process_time()))
    del images, labels
    memory.close()


class Peer:
    """Processes that fill one batch each; a finished batch is copied and the next one ordered."""

    def __init__(self, tiles):
        context = multiprocessing.get_context("fork")  # before TensorFlow starts its threads
        self.done = context.Queue()
        self.memories = [
            shared_memory.SharedMemory(create=True, size=BATCH_BYTES) for _ in range(CORES)
        ]
        self.orders = [context.Queue() for _ in range(CORES)]
        self.workers = [
            context.Process(target=peer_worker, args=(tiles, memory.name, index, orders, self.done))
            for index, (memory, orders) in enumerate(zip(self.memories, self.orders, strict=True))
        ]
        for worker in self.workers:
            worker.start()
        self.seconds = [0.0] * CORES

    def cpu_seconds(self):
        """CPU seconds of this process and the workers so far."""
        return time.process_time() + sum(self.seconds)

    def run(self, batches):
        """Makes batches, distributed over the workers."""
        for orders in self.orders:
            orders.put(True)
        for index in range(batches):
            worker, self.seconds[worker] = self.done.get()
            np.array(np.ndarray(BATCH_SHAPE, np.uint8, self.memories[worker].buf))
            if index + CORES < batches:
                self.orders[worker].put(True)

    def close(self):
        """Ends the processes."""
        for orders, worker in zip(self.orders, self.workers, strict=True):
            orders.put(False)
            worker.join()
        for memory in self.memories:
            memory.close()
            memory.unlink()


class Ours:
    """The training batches of this package, without right-angle rotation, as in the peer."""

    def __init__(self, dataset):
        from keras_deeplab.data import training_batches

        self.batches = iter(
            training_batches(dataset, batch_size=BATCH, crop=CROP, scale_range=RATIOS, rotate=False)
        )

    def cpu_seconds(self):
        """CPU seconds of this process so far."""
        return time.process_time()

    def run(self, batches):
        """Makes batches."""
        for _ in range(batches):
            next(self.batches)


def dataset_of(tiles):
    """Tiles in memory as a dataset."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(
        tuple(np.stack(part) for part in zip(*tiles, strict=True))
    )


def compare(side, peer, ours, rounds, batches):
    """Runs both in turns; prints the medians and returns the ratio of CPU seconds."""
    theirs, mine = medians((peer, ours), rounds, batches)
    ratio = mine[1] / theirs[1]
    print(
        f"| {side} | {theirs[1]:.0f} | {mine[1]:.0f} | {ratio:.2f} "
        f"| {theirs[0]:.0f} | {mine[0]:.0f} | {mine[0] / theirs[0]:.2f} |",
        flush=True,
    )
    return ratio


def medians(contestants, rounds, batches):
    """Runs all in turns; for each, median samples per second and per CPU second."""
    turns = {contestant: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant, figures in turns.items():
            # Not timed: start-up, and batches prefetched during the other's turn.
            contestant.run(UNTIMED)
            start = time.perf_counter(), contestant.cpu_seconds()
            contestant.run(batches)
            end = time.perf_counter(), contestant.cpu_seconds()
            figures.append([batches * BATCH / (b - a) for a, b in zip(start, end, strict=True)])
    return [np.median(figures, axis=0) for figures in turns.values()]


def compare_scene(scene, polygons, field, rounds, batches):
    """Prints samples of a scene with polygons, and of its tiles with masks."""
    import keras_deeplab as kd

    side = round(CROP / RATIOS[0])  # what a crop shows at most
    windows = kd.data.RandomWindows(side, count=100_000)
    of_scene = kd.data.from_rasters(scene, polygons, class_field=field, windows=windows)
    with tempfile.TemporaryDirectory() as folder:
        cut_tiles(scene, polygons, field, pathlib.Path(folder))
        names = of_scene.class_names
        of_tiles = kd.data.from_folder(f"{folder}/images", f"{folder}/masks", names)
        found = medians((Ours(of_tiles), Ours(of_scene)), rounds, batches)
    print("| source | samples per CPU second | samples per second |")
    print("|---|---|---|")
    sources = (
        f"{len(of_tiles)} tiles of 512 with masks",
        f"scene with polygons, windows of {side}",
    )
    for source, (wall, cpu) in zip(sources, found, strict=True):
        print(f"| {source} | {cpu:.0f} | {wall:.0f} |")


def cut_tiles(scene, polygons, field, folder):
    """Writes the tiles of 512 of a scene and their masks as PNG."""
    from PIL import Image

    import keras_deeplab as kd

    tiles = kd.data.from_rasters(
        scene, polygons, class_field=field, windows=kd.data.GridWindows(512, overlap=0)
    )
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number, (image, label) in enumerate(tiles.as_numpy_iterator()):
        Image.fromarray(image).save(folder / f"images/{number}.png")
        Image.fromarray(label).save(folder / f"masks/{number}.png")


def main():
    """Compares both on two tile sizes; exits with 1 below the limit unless --quick is given."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    quick = "--quick" in sys.argv
    rounds, batches = (1, 2) if quick else (5, 12)
    if "--scene" in sys.argv:
        first = sys.argv.index("--scene") + 1
        compare_scene(*sys.argv[first : first + 3], rounds, batches)
        return
    tiles = {side: make_tiles(side) for side in (512, 1024)}
    peers = {side: Peer(tiles[side]) for side in tiles}
    print(
        "| tile | OpenCV, images per CPU second | keras_deeplab | ratio "
        "| OpenCV, images per second | keras_deeplab | ratio |"
    )
    print("|---|---|---|---|---|---|---|")
    try:
        ratios = [
            compare(side, peers[side], Ours(dataset_of(tiles[side])), rounds, batches)
            for side in tiles
        ]
    finally:
        for peer in peers.values():
            peer.close()
    sys.exit(not quick and min(ratios) < LIMIT)


if __name__ == "__main__":
    main()
