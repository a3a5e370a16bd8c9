"""Networks, images and reference logits of `infer.py`, written to files that every process reads.

`r18_d8` has the trained weights of `r18_dubai`. The others have no bundled weights: theirs are
random, from a fixed seed, with batch norm statistics of the bundled images.
"""

import dataclasses
import json
import pathlib

import numpy as np
from network_sizes import multiply_adds

TRAINED, MODEL = "r18_d8", "r18_dubai"
EXAMPLES = pathlib.Path(__file__).parents[1] / "examples" / "dubai" / "images"
RUN, WEIGHTS = "run", "weights.npz"  # for us, for the peer


def write_network(variant, sides, folder):
    """Writes the network as a run folder and as the reference's state dict; images and logits.

    Args:
        variant: Name of the network.
        sides: Sides of the images.
        folder: Folder of the files.

    Returns:
        Floating-point operations of a call by side.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    import keras

    import keras_deeplab as kd
    from keras_deeplab.checkpoints.state_dict import to_state_dict
    from keras_deeplab.zoo.run_folders import RUN_RECORD, run_record

    keras.utils.set_random_seed(0)
    model = trained = kd.load(MODEL)
    classes = len(trained.metadata.classes)
    if variant != TRAINED:
        model = kd.build(variant, classes)
        _settle(model)
    run = folder / RUN
    run.mkdir()
    metadata = dataclasses.replace(trained.metadata, variant=variant)
    (run / RUN_RECORD).write_text(json.dumps(run_record(metadata)), encoding="utf-8")
    model.save_weights(run / "last.weights.h5")
    np.savez(folder / WEIGHTS, **to_state_dict(model))
    for side in sides:
        image = bundled_images(side)[:1]
        np.save(image_file(folder, side), image)
        np.save(logits_file(folder, side), model(image, training=False))
    fixed = {side: kd.build(variant, classes, input_shape=(side, side, 3)) for side in sides}
    return {side: 2 * multiply_adds(model) for side, model in fixed.items()}


def image_file(folder, side):
    """Path of the image `(1, side, side, 3)` uint8."""
    return folder / f"image_{side}.npy"


def logits_file(folder, side):
    """Path of Keras's float32 logits `(1, side, side, classes)`."""
    return folder / f"logits_{side}.npy"


def bundled_images(side):
    """The bundled images, cropped, or mirrored at the borders, to `(N, side, side, 3)` uint8."""
    from PIL import Image

    images = []
    for path in sorted(EXAMPLES.glob("*.jpg")):
        with Image.open(path) as file:
            image = np.asarray(file.convert("RGB"))
        short = [(0, max(side - size, 0)) for size in image.shape[:2]]
        images.append(np.pad(image, [*short, (0, 0)], "symmetric")[:side, :side])
    return np.stack(images)


def _settle(model):
    """Gives the batch norms of a random network statistics of the bundled images.

    Bottlenecks add a fifth of what they would: otherwise they magnify rounding errors more than
    those of a trained network.
    """
    import keras

    for layer in model.layers:
        if layer.name.startswith("backbone-layer") and layer.name.endswith("-bn3"):
            layer.gamma.assign(layer.gamma * 0.2)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    # Of the pooled features there are only three values, too few for statistics.
    norms = [norm for norm in norms if "image_pool" not in norm.name]
    momentums = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(bundled_images(256), training=True)
    for norm, momentum in zip(norms, momentums, strict=True):
        norm.momentum = momentum
