"""`keras-deeplab prepare`: cuts a published dataset into tiles and checks the result."""

import click

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import FOLDER, OUTPUT_FOLDER
from keras_deeplab.commands.group import Command


@click.command("prepare", cls=Command)
@click.argument("name")
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
@click.option(
    "--output",
    type=OUTPUT_FOLDER,
    default=".",
    show_default=True,
    help="Folder for the contact sheets of --check.",
)
def command(name, manual_dir, data_dir, dry_run, check, output):
    """Prepare the dataset NAME: loveda, potsdam, vaihingen or isaid.

    A config follows after a slash, for example potsdam/overlapping; an unknown config lists all of
    them. The original files are read from --manual-dir; LoveDA is downloaded unless it is there.
    If the preparation fails, nothing is stored.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
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
    import tqdm

    from keras_deeplab._internal.files import atomic_write
    from keras_deeplab.data.datasets.registry import read
    from keras_deeplab.data.drawing import contact_sheet
    from keras_deeplab.data.summary import summarise

    table = builder.SPEC.classes
    dataset = read(builder, split)
    bar = tqdm.tqdm(dataset, desc=f"{split} labels", total=len(dataset), unit=" tiles", leave=False)
    summary = summarise(bar, len(table), total=len(dataset))
    print_summary(builder, split, summary)
    sheet = contact_sheet(summary.samples, table, [f"{share:.1%}" for share in summary.shares])
    path = output / f"{builder.name}_{builder.builder_config.name}_{split}.png"
    with atomic_write(path) as beside:
        sheet.save(beside)
    click.echo(f"Contact sheet: {path}")


def print_summary(builder, split, summary):
    """Prints tiles, pixels and suggested class weights."""
    from rich.console import Console
    from rich.table import Table

    full = builder.builder_config.tiles[split]
    listing = Table(
        "class",
        "pixels",
        "share",
        "weight",
        title=f"{split}: {summary.images:,} of {full:,} tiles",
    )
    rows = zip(
        builder.SPEC.classes.names,
        summary.pixels,
        summary.shares,
        summary.class_weights,
        strict=True,
    )
    for name, pixels, share, weight in rows:
        listing.add_row(name, f"{pixels:,}", f"{share:.2%}", f"{weight:.3f}")
    listing.add_section()
    listing.add_row("ignored", f"{summary.ignored:,}", "", "")
    console = Console()
    console.print(listing)
    if split == "train":
        weights = ",".join(f"{weight:.3g}" for weight in summary.class_weights)
        console.print(f"To train with these weights: --class-weights {weights}", soft_wrap=True)


if __name__ == "__main__":
    command()
