"""Prints the table of variants of docs/build.md: parameters, multiply-adds, time.

Run: python docs/build_table.py

Parameters are those for 21 classes without auxiliary head; multiply-adds those of the convolutions
for one image of 512 x 512. The time is that of the processor, over all its cores, for such an image
in Keras and float32: it does not depend on what else the machine does.
"""

import math
import time

import keras
import numpy as np

import keras_deeplab as kd

SIDE, CLASSES, RUNS = 512, 21, 2
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def multiply_adds(model):
    """Multiplications of the convolutions of a model of a fixed size."""
    return sum(
        math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, CONVOLUTIONS)
    )


def seconds(model):
    """The shorter of two predictions, in seconds of the processor."""
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype("float32")
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        model(image, training=False)
        times.append(time.process_time() - start)
    return min(times)


def main():
    """One row for each variant."""
    print("| variant | parameters, million | multiply-adds, billion | processor time, s |")
    print("|---|---|---|---|")
    for name in kd.list_variants():
        model = kd.build(name, CLASSES, input_shape=(SIDE, SIDE, 3))
        figures = model.count_params() / 1e6, multiply_adds(model) / 1e9, seconds(model)
        print(f"| `{name}` | {figures[0]:.2f} | {figures[1]:.1f} | {figures[2]:.1f} |", flush=True)
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
