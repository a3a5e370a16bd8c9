"""Figures of class maps that `scene.py` and its companions print: seams, agreement, memory."""

import itertools
import pathlib
import time

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.windows import Window

from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.prediction.windows import Axis
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.runtimes.resize import resize_bilinear

CROP = 2048


def memory(field):
    """Memory of this process in MB: `"VmRSS"`, what is resident now, or `"VmHWM"`, its peak."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(field)


class TimedPredictor(Predictor):
    """A predictor that keeps the seconds of each call."""

    def __init__(self, inner):
        super().__init__(inner.network, inner.runtime, inner.precision, inner.compile)
        self.calls: list[float] = []

    def __call__(self, images):
        start = time.perf_counter()
        logits = super().__call__(images)
        self.calls.append(time.perf_counter() - start)
        return logits

    def warm_up(self, side, calls=10):
        """Compiles a size; returns seconds and CPU seconds of a call while this process rests."""
        image = np.full((1, side, side, self.network.channels), 127, np.uint8)
        self(image)
        start = clocks()
        for _ in range(calls):
            self(image)
        self.calls.clear()
        return (clocks() - start) / calls


def clocks():
    """Seconds, and CPU seconds of this process with all its threads."""
    return np.array([time.perf_counter(), time.process_time()])


def borders(length, window, overlap, inner=True):
    """Where windows begin or end; with `inner` also where the parts of them that count do so."""
    grid = Axis(length, window, overlap)
    margin = overlap // 4  # context only
    starts, ends = grid.starts[1:], [start + grid.size for start in grid.starts[:-1]]
    found = {*starts, *ends}
    if inner:
        found |= {start + margin for start in starts} | {end - margin for end in ends}
    return found


def seams(labels, borders_of_axis):
    """Class changes at borders of windows, one pixel around them, over those elsewhere.

    Args:
        labels: Class indices `(H, W)`.
        borders_of_axis: Function from a length to the positions of the borders.

    Returns:
        The ratios of rows and columns. 1: nothing shows where the borders are.
    """
    ratios = []
    for axis in (0, 1):
        length = labels.shape[axis]
        near = {border + step for border in borders_of_axis(length) for step in (-1, 0, 1)}
        found = _changes(labels, axis)
        at = np.array([position in near for position in range(1, length)])
        ratios.append(found[at].mean() / found[~at].mean())
    return ratios


def _changes(labels, axis):
    """Share of the pixels whose class differs from the one before, for each position but 0."""
    lines = labels if axis == 0 else labels.T
    shares = []
    for first, second in itertools.pairwise(lines):  # line by line: little memory
        known = (first != IGNORE_INDEX) & (second != IGNORE_INDEX)
        shares.append(((first != second) & known).sum() / max(known.sum(), 1))
    return np.array(shares)


class Crops:
    """Crops of a scene, each predicted as one image, at the resolution of the map.

    Args:
        path: The scene.
        predictor: `Predictor`.
        scale: Pixels of the scene in a pixel of the prediction.
        nodata: Stored value that means no data, or `None`.
        count: Crops from top to bottom, and from left to right.
    """

    def __init__(self, path, predictor, scale=1.0, nodata=None, count=(2, 2)):
        self.crops = []
        with rasterio.open(path) as scene:
            for top in np.linspace(0, scene.height - CROP, count[0]).astype(int):
                for left in np.linspace(0, scene.width - CROP, count[1]).astype(int):
                    image = _read(scene, Window(left, top, CROP, CROP), round(CROP / scale))
                    if nodata is not None:
                        image[(image == nodata).all(-1)] = 0  # as scenes are predicted
                    scores = resize_bilinear(predictor(image[np.newaxis])[0], (CROP, CROP))
                    self.crops.append((top, left, scores.argmax(-1).astype(np.uint8)))

    def agreement(self, labels):
        """Share of the pixels of a map that have the class of the crop."""
        same = total = 0
        for top, left, whole in self.crops:
            mine = labels[top : top + CROP, left : left + CROP]
            known = mine != IGNORE_INDEX
            same, total = same + (whole == mine)[known].sum(), total + known.sum()
        return same / total


def _read(scene, window, side):
    resampling = Resampling.average if side < window.width else Resampling.bilinear
    image = scene.read((1, 2, 3), window=window, out_shape=(3, side, side), resampling=resampling)
    return np.moveaxis(image, 0, -1).copy()


def classes_in_holes(labels, path, nodata):
    """Share of the pixels without data that a map gives a class."""
    empty = classified = 0
    with rasterio.open(path) as scene:
        for top in range(0, scene.height, CROP):
            rows = Window(0, top, scene.width, min(CROP, scene.height - top))
            hole = (scene.read((1, 2, 3), window=rows) == nodata).all(0)
            empty += hole.sum()
            classified += (labels[top : top + CROP][hole] != IGNORE_INDEX).sum()
    return classified / max(empty, 1)
