"""Parameters and multiply-adds of every variant, as docs/build.md has them.

Run: python benchmarks/network_sizes.py [--side 512] [--classes 2]
"""

import argparse
import os

import numpy as np


def multiply_adds(model):
    """Those of all convolutions of a model with a fixed input size, for one image."""
    # Both kinds of kernels, (h, w, in, out) and (h, w, channels, 1), are used once per position.
    return sum(
        np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape)
        for layer in model.layers
        if hasattr(layer, "kernel")
    )


def main():
    """Prints a row per variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=512, help="of the image in pixels")
    parser.add_argument("--classes", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras_deeplab as kd
    from keras_deeplab.models.variants import get_backbone

    print(f"| variant | backbone | parameters, million | GMAC at {options.side} |")
    print("|---|---|---|---|")
    for variant in kd.list_variants():
        shape = (options.side, options.side, 3)
        model = kd.build(variant, options.classes, input_shape=shape)
        title = get_backbone(variant).title
        print(
            f"| `{variant}` | {title} | {model.count_params() / 1e6:.1f} "
            f"| {multiply_adds(model) / 1e9:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
