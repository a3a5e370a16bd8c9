"""Seconds and mIoU of `r18_dubai` on the bundled images, in every installed runtime and precision.

Run: python benchmarks/evaluate_runtimes.py [--rounds 3]

Every image is predicted once before the clock starts, which compiles its size. Then the runtimes
take turns, image by image, so that other load on the machine is shared. Seconds are those of an
image with reading of the result, softmax, argmax and counting; of the rounds the shortest is taken.
"""

import argparse
import pathlib
import time

import numpy as np

from keras_deeplab._internal.processor import cpu_model, has_amx, has_bfloat16
from keras_deeplab.commands.startup import import_tensorflow

MODEL = "r18_dubai"
EXAMPLES = pathlib.Path(__file__).parents[1] / "examples" / "dubai"


def main():
    """Prints one row for each runtime and precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    import_tensorflow()
    import keras_deeplab as kd
    from keras_deeplab.runtimes.registry import installed_runtimes

    table = kd.data.read_class_table(EXAMPLES / "classes.json")
    dataset = kd.data.from_folder(EXAMPLES / "images", EXAMPLES / "masks", table)
    pairs = [(image.numpy(), label.numpy()) for image, label in dataset]
    predictors = [
        kd.compile_for_inference(MODEL, runtime.name, precision)
        for runtime in installed_runtimes()
        for precision in runtime.precisions
    ]
    classes = [  # compiles the sizes, too
        np.concatenate([kd.predict(each, image).argmax(-1).ravel() for image, _ in pairs])
        for each in predictors
    ]
    seconds = np.full((len(predictors), rounds, len(pairs)), np.inf)
    for turn in range(rounds):
        for index, pair in enumerate(pairs):
            for number, each in enumerate(predictors):
                start = time.perf_counter()
                kd.evaluate(each, [pair])
                seconds[number, turn, index] = time.perf_counter() - start
    print(f"{cpu_model()}, bfloat16 instructions: {has_bfloat16()}, AMX: {has_amx()}\n")
    print("| runtime | precision | seconds an image | mIoU % | pixels of the same class % |")
    print("|---|---|---|---|---|")
    for number, each in enumerate(predictors):
        miou = kd.evaluate(each, pairs).result()["mIoU"]
        same = (classes[number] == classes[0]).mean()  # the first one is Keras in float32
        shortest = seconds[number].min(0).mean()
        print(
            f"| {each.runtime} | {each.precision} | {shortest:.2f} | {100 * miou:.2f} "
            f"| {100 * same:.2f} |"
        )


if __name__ == "__main__":
    main()
