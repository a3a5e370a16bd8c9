"""Parameters and multiply-adds of every variant, as docs/build.md has them.

Run: python benchmarks/network_sizes.py [--side 512] [--classes 2] [--seconds] [--variants "x65*"]

The seconds are those of the processor for one image in Keras and float32, summed over its cores:
they depend less than the time that passes on what else the machine does.
"""

import argparse
import os
import time

import numpy as np


def multiply_adds(model):
    """Those of all convolutions of a model with a fixed input size, for one image."""
    # Both kinds of kernels, (h, w, in, out) and (h, w, channels, 1), are used once per position.
    return sum(
        np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)
        for layer in model.layers
        if hasattr(layer, "kernel")
    )


def seconds(model):
    """The shorter of two predictions, in seconds of the processor."""
    image = np.random.default_rng(0).uniform(0, 255, (1, *model.input_shape[1:]))
    times = []
    for _ in range(2):
        start = time.process_time()
        model(image.astype("float32"), training=False)
        times.append(time.process_time() - start)
    return min(times)


def main():
    """Prints a row per variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="of the image in pixels")
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--seconds", action="store_true", help="predict an image, too")
    parser.add_argument("--variants", default="*", help="glob")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras_deeplab as kd
    from keras_deeplab.models.variants import get_backbone

    titles = ["variant", "backbone", "parameters, million", f"GMAC at {options.side}"]
    titles += ["processor time, s"] * options.seconds
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    for variant in kd.list_variants(options.variants):
        shape = (options.side, options.side, 3)
        model = kd.build(variant, options.classes, input_shape=shape)
        figures = [model.count_params() / 1e6, multiply_adds(model) / 1e9]
        figures += [seconds(model)] * options.seconds
        cells = [f"`{variant}`", get_backbone(variant).title, *(f"{x:.1f}" for x in figures)]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
