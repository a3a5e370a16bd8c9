"""`keras-deeplab prepare`: cuts a published dataset into tiles; checks labels, also your own."""

import click

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import (
    FILE,
    FOLDER,
    OUTPUT_FOLDER,
    class_table,
    data_source,
    file_format,
    labelled_images,
)
from keras_deeplab.commands.group import Command


@click.command("prepare", cls=Command)
@click.argument("name", required=False)
@click.option("--manual-dir", type=FOLDER, help="Folder of the original files, zipped or unpacked.")
@click.option(
    "--data-dir",
    type=OUTPUT_FOLDER,
    help="Folder of prepared datasets. Default: ~/tensorflow_datasets or $TFDS_DATA_DIR.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print what was found and would be prepared; write nothing."
)
@click.option(
    "--check", is_flag=True, help="Count the labels and draw a contact sheet of each split."
)
@labelled_images()
@file_format()
@click.option("--classes", type=FILE, help="Class table of the labels (JSON).")
@click.option(
    "--output",
    type=OUTPUT_FOLDER,
    default=".",
    show_default=True,
    help="Folder for the contact sheets of --check.",
)
def command(name, manual_dir, data_dir, dry_run, check, output, **options):
    """Prepare the dataset NAME: loveda, potsdam, vaihingen or isaid.

    Without NAME, --check counts the labels of your own images, folders or scenes, and draws them.

    A config follows after a slash, for example potsdam/overlapping; an unknown config lists all of
    them. The original files are read from --manual-dir; LoveDA is downloaded unless it is there.
    If the preparation fails, nothing is stored.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    if name is None:
        if not check or dry_run:
            raise click.UsageError("Name a dataset, or give --check and images with labels.")
        check_files({**options, "dataset": None}, output)
        return
    if options["images"] or options["pairs"]:
        raise click.UsageError("Name a dataset, or images with labels, but not both.")
    from keras_deeplab.data.datasets.registry import dataset_builder, prepared

    if dry_run:
        print_plan(dataset_builder(name, data_dir=data_dir), manual_dir)
        return
    builder = prepared(name, data_dir=data_dir, manual_dir=manual_dir)
    click.echo(f"Prepared: {builder.data_path}")
    if check:
        for split in builder.info.splits:
            check_split(builder, split, output)


def print_plan(builder, manual_dir):
    """Prints the scenes and tiles of each split; writes nothing."""
    import tqdm
    from rich.console import Console
    from rich.table import Table

    from keras_deeplab.data.datasets.source_files import files_below

    if manual_dir is None:
        raise InputError(f"--dry-run needs --manual-dir. {builder.MANUAL_DOWNLOAD_INSTRUCTIONS}")
    listing = Table("split", "scenes", "of", "tiles", "of", "megapixels")
    for split, scenes in builder.plan(files_below(manual_dir)).items():
        bar = tqdm.tqdm(scenes, desc=f"{split} sizes", unit=" scenes", leave=False)
        tiles, pixels = map(sum, zip(*map(builder.count_tiles, bar), strict=True))
        listing.add_row(
            split,
            f"{len(scenes):,}",
            f"{builder.splits()[split].size:,}",
            f"{tiles:,}",
            f"{builder.builder_config.tiles[split]:,}",
            f"{pixels / 1e6:,.1f}",
        )
    console = Console()
    console.print(listing)
    console.print(f"Nothing was written. Target folder: {builder.data_path}", soft_wrap=True)


def check_split(builder, split, output):
    """Prints the label counts of a split and writes its contact sheet."""
    from keras_deeplab.data.datasets.registry import read

    table = builder.SPEC.classes
    dataset = read(builder, split)
    summary = summary_of(dataset, table, split)
    full = builder.builder_config.tiles[split]
    print_counts(summary, table, f"{split}: {summary.images:,} of {full:,} tiles")
    if split == "train":
        print_weights(summary)
    path = output / f"{builder.name}_{builder.builder_config.name}_{split}.png"
    write_sheet(summary.samples, summary, table, path)


def check_files(options, output):
    """Prints the label counts of images and writes their contact sheet."""
    source = data_source(options, subset="train")
    table = class_table(options, source) or source.default_classes()
    if table is None:
        raise click.UsageError("Give --classes: masks in files need a class table.")
    dataset, counts = source.open_counted(table)
    print_counts(counts, table, f"{source}: {counts.describe()}")
    print_weights(counts)
    samples = summary_of(dataset, table, "images").samples
    write_sheet(samples, counts, table, output / "labels.png")


def summary_of(dataset, table, what):
    """The `Summary` of a dataset, with a progress bar."""
    import tqdm

    from keras_deeplab.data.summary import summarise

    bar = tqdm.tqdm(dataset, desc=f"{what} labels", total=len(dataset), unit=" tiles", leave=False)
    return summarise(bar, len(table), total=len(dataset))


def write_sheet(samples, counts, table, path):
    """Writes the contact sheet of samples, with the shares of the classes."""
    from keras_deeplab._internal.files import atomic_write
    from keras_deeplab.data.drawing import contact_sheet
    from keras_deeplab.prediction.overlay import as_picture

    pictures = [(as_picture(image), label) for image, label in samples]
    sheet = contact_sheet(pictures, table, [f"{share:.1%}" for share in counts.shares])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as beside:
        sheet.save(beside)
    click.echo(f"Contact sheet: {path}")


def print_counts(counts, table, title):
    """Prints pixels and suggested weight of each class."""
    from rich.console import Console
    from rich.table import Table

    listing = Table("class", "pixels", "share", "weight", title=title)
    rows = zip(table.names, counts.pixels, counts.shares, counts.class_weights, strict=True)
    for name, pixels, share, weight in rows:
        listing.add_row(name, f"{pixels:,}", f"{share:.2%}", f"{weight:.3f}")
    listing.add_section()
    listing.add_row("ignored", f"{counts.ignored:,}", "", "")
    Console().print(listing)


def print_weights(counts):
    """Prints the option that trains with the suggested weights."""
    from rich.console import Console

    weights = ",".join(f"{weight:.3g}" for weight in counts.class_weights)
    Console().print(f"To train with these weights: --class-weights {weights}", soft_wrap=True)


if __name__ == "__main__":
    command()
