"""`keras-deeplab evaluate`: metrics of a model on labelled images."""

import json
import pathlib

import click

from keras_deeplab.cli import Command
from keras_deeplab.cli_options import (
    FILE,
    file_format,
    labelled_images,
    named_dataset,
    open_classes,
    open_dataset,
)

OUTPUT = click.Path(dir_okay=False, path_type=pathlib.Path)


@click.command("evaluate", cls=Command)
@click.argument("model")
@named_dataset()
@labelled_images()
@file_format()
@click.option("--classes", type=FILE, help="Class table of the masks; the model's by default.")
@click.option("--flip", is_flag=True, help="Average with the mirrored image.")
@click.option("--scales", default="1", show_default=True, help="Scales to average, by commas.")
@click.option("--window", type=click.IntRange(32), help="Predict by windows of this side.")
@click.option("--stride", type=click.IntRange(1), help="Step of the windows.")
@click.option("--json", "json_file", type=OUTPUT, help="Write metrics and confusion matrix here.")
def command(model, flip, scales, window, stride, json_file, **options):
    """Evaluate MODEL, a zoo name or the folder of a training run, at full image size.

    The images are the val split of a prepared data set (--dataset), folders, or a CSV file. Files
    are read as the run read them: --bands and --value-range are for files of other form.
    """
    from keras_deeplab.quiet import import_tensorflow

    import_tensorflow()
    import tqdm

    from keras_deeplab.evaluation.dataset import evaluate
    from keras_deeplab.files import written_whole
    from keras_deeplab.prediction.image import parse_scales
    from keras_deeplab.zoo import image_format, open_model

    network, table = open_model(model)
    labels = open_classes(options) or table
    if labels.names != table.names:
        raise ValueError(
            f"The labels have the classes {', '.join(labels.names)}; {model} has "
            f"{', '.join(table.names)}."
        )
    trained_on = image_format(model)
    if options["dataset"] is None:
        options["bands"] = options["bands"] or trained_on.bands
        options["value_range"] = options["value_range"] or trained_on.value_range
    dataset = open_dataset(options, labels, named_split="val")
    metrics = evaluate(
        network,
        tqdm.tqdm(dataset, total=int(dataset.cardinality()), unit="image", leave=False),
        num_classes=len(table),
        scales=parse_scales(scales),
        flip=flip,
        window=window,
        stride=stride,
    )
    print_metrics(metrics, table)
    if json_file:
        result = {**metrics.result(), "confusion": metrics.confusion.tolist()}
        with written_whole(json_file) as path:
            path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def print_metrics(metrics, table):
    """Prints the IoU of each class and the means."""
    from rich.console import Console
    from rich.table import Table

    result = metrics.result()
    per_class = result["per_class"]
    columns = ("IoU", "Acc", "Fscore")
    listing = Table("class", "pixels", *columns)
    labelled = metrics.confusion.sum(axis=1).tolist()
    for index, name in enumerate(table.names):
        values = [f"{per_class[column][index]:.4f}" for column in columns]
        listing.add_row(name, f"{labelled[index]:,}", *values)
    listing.add_section()
    means = [f"{result[f'm{column}']:.4f}" for column in columns]
    listing.add_row("mean of classes", f"{sum(labelled):,}", *means)
    console = Console()
    console.print(listing)
    console.print(f"mIoU {result['mIoU']:.4f}   aAcc {result['aAcc']:.4f}")


if __name__ == "__main__":
    command()
