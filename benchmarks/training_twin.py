"""Losses of a training here and in PyTorch, from the same weights and batches.

Run: pip install torch
     python benchmarks/training_twin.py --scene scene.tif --labels buildings.geojson
         --class-field class [--only 20] [--dropout 0.1] [--validation other.tif] [--csv FILE]

`efl0_d16` with the bundled ImageNet backbone and fresh heads, float32 in both. The peer is the same
network in plain torch.nn with PyTorch's own AdamW, losses and schedule written for it. Both
trainings get each batch of this package's pipeline. Without dropout, every further column is
about rounding: PyTorch once more in float64, and how far both float32 trainings are from it.
With dropout, whose masks differ, the two are compared by their curves.
The trainings run at the same time, each step of them with `--threads` threads.
"""

import argparse
import concurrent.futures
import csv
import importlib.util
import math
import os
import pathlib
import sys

import numpy as np

VALIDATE_EVERY = 100
PRINTED = 20  # steps


def twin_recipe(options):
    """The recipe of both."""
    import keras_deeplab as kd

    return kd.Recipe(
        steps=options.steps,
        batch_size=options.batch,
        crop=options.crop,
        optimizer="adamw",
        learning_rate=1e-3,
        schedule="cosine",
        warmup=0.05,
        weight_decay=0.01,
        loss={"crossentropy": 1.0, "dice": 0.5},
        divide_by="valid",
        scale_range=(0.5, 1.5),
        seed=options.seed,
    )


def training_data(options, recipe):
    """Batches for the training, as the command `train` makes them, and the class table."""
    from keras_deeplab.data.augmentation.batches import training_batches
    from keras_deeplab.data.files.windows import RandomWindows

    source = labelled_scene(options, options.scene)
    classes = source.default_classes()
    size = math.ceil(recipe.crop / recipe.scale_range[0])
    windows = RandomWindows(size, recipe.steps * recipe.batch_size, recipe.seed)
    dataset, _ = source.open_counted(classes, windows=windows)
    batches = training_batches(
        dataset,
        batch_size=recipe.batch_size,
        crop=recipe.crop,
        seed=recipe.seed,
        scale_range=recipe.scale_range,
        rotate=recipe.rotate,
        mean=(127.0, 127.0, 127.0),
    )
    return batches.as_numpy_iterator(), classes


def labelled_scene(options, scene):
    """A scene with the polygons as labels."""
    from keras_deeplab.data.files.polygon_labels import PolygonLabels
    from keras_deeplab.data.source import DataSource

    return DataSource(images=(scene,), labels=PolygonLabels(options.labels, options.class_field))


class OurTraining:
    """The model of this package, trained as `keras_deeplab.train` does."""

    def __init__(self, recipe, classes, dropout):
        import keras

        import keras_deeplab as kd

        keras.utils.set_random_seed(recipe.seed)
        self.model = kd.build("efl0_d16", classes, weights="imagenet", dropout=dropout)
        kd.compile_for_training(self.model, recipe)

    def step(self, images, labels):
        """Trains on a batch; returns the loss before."""
        from keras_deeplab.training.loop.deterministic import deterministic_gradients

        with deterministic_gradients():
            return float(self.model.train_on_batch(images, labels))

    def logits(self, images):
        """Logits in inference."""
        return np.asarray(self.model(images.astype(np.float32), training=False))

    def state_dict(self):
        """The weights under PyTorch's names."""
        from keras_deeplab.checkpoints.state_dict import to_state_dict

        return to_state_dict(self.model)


class Validation:
    """The mIoU of trainings: the weights of each are measured in one model of this package."""

    def __init__(self, dataset, classes):
        import keras_deeplab as kd

        self.dataset, self.model = dataset, kd.build("efl0_d16", classes)

    def scores(self, trainings):
        """Columns of the table."""
        import keras_deeplab as kd

        scores = {}
        for name, training in trainings.items():
            kd.load_state_dict(self.model, training.state_dict())
            scores[f"miou_{name}"] = kd.evaluate(self.model, self.dataset).result()["mIoU"]
        return scores


def start(options):
    """The trainings by name, their batches, and `Validation` or `None`."""
    import tensorflow as tf
    import torch
    from torch_training import TorchTraining

    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = twin_recipe(options)
    batches, classes = training_data(options, recipe)
    ours = OurTraining(recipe, len(classes), options.dropout)
    torch.manual_seed(options.seed)
    weights, settings = ours.state_dict(), (recipe, len(classes))
    peer = TorchTraining(weights, *settings, dropout=options.dropout)
    trainings = {"ours": ours, "pytorch": peer}
    if not options.dropout:
        trainings["pytorch_float64"] = TorchTraining(weights, *settings, dtype=torch.float64)
    validation = None
    if options.validation:
        dataset = labelled_scene(options, options.validation).open(classes)
        validation = Validation(dataset, len(classes))
    return trainings, batches, validation


def run(options):
    """Trains both; yields a row of figures per step."""
    trainings, batches, validation = start(options)
    count = options.only or options.steps
    with concurrent.futures.ThreadPoolExecutor(len(trainings)) as pool:
        for step in range(count):
            images, labels = next(batches)
            if step == 0:
                print_logits(trainings, images)
            steps = {
                name: pool.submit(training.step, images, labels)
                for name, training in trainings.items()
            }
            row = {"step": step, **{name: future.result() for name, future in steps.items()}}
            last = step + 1 == count
            if validation is not None and (last or (step + 1) % VALIDATE_EVERY == 0):
                row |= validation.scores(trainings)
            yield row
    print_logits(trainings, images)


def print_logits(trainings, images):
    """How far the networks are apart in inference."""
    ours, peer = (trainings[name].logits(images) for name in ("ours", "pytorch"))
    print(
        f"logits in {np.min(ours):.3f}..{np.max(ours):.3f}, "
        f"largest difference {np.abs(ours - peer).max():.2g}"
    )


def print_row(row):
    """A row of the table: losses and differences."""
    if row["step"] == 0:
        print("| step | ours | PyTorch | ours - PyTorch |", end="")
        print(" ours - float64 | PyTorch - float64 |" if "pytorch_float64" in row else "")
        print("|---|---|---|---|", end="")
        print("---|---|" if "pytorch_float64" in row else "")
    ours, peer = row["ours"], row["pytorch"]
    print(f"| {row['step']} | {ours:.6f} | {peer:.6f} | {ours - peer:+.1e} |", end="")
    if "pytorch_float64" in row:
        exact = row["pytorch_float64"]
        print(f" {ours - exact:+.1e} | {peer - exact:+.1e} |", end="")
    print(flush=True)


def main():
    """Prints the first losses, and writes all of them to a CSV file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", type=pathlib.Path, required=True)
    parser.add_argument("--labels", type=pathlib.Path, required=True, help="polygons")
    parser.add_argument("--class-field", help="of the polygons")
    parser.add_argument("--validation", type=pathlib.Path, help="scene that the labels cover, too")
    parser.add_argument("--steps", type=int, default=500, help="length of the schedule")
    parser.add_argument("--only", type=int, help="stop after this many steps")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=0, help="of each; 0: all processors")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--csv", type=pathlib.Path, help="where to write the figures of all steps")
    options = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        sys.exit("PyTorch is missing: pip install torch (its CPU build: see pytorch.org).")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    fields = ["step", "ours", "pytorch", "pytorch_float64", "miou_ours", "miou_pytorch"]
    with open(options.csv or os.devnull, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for row in run(options):
            writer.writerow(row)
            file.flush()
            if row["step"] < PRINTED:
                print_row(row)
            scores = {name: value for name, value in row.items() if name.startswith("miou_")}
            if scores:
                print(f"step {row['step'] + 1}:", scores, flush=True)


if __name__ == "__main__":
    main()
