"""Options that several commands share: where labelled images are and how they are read."""

import pathlib

import click

FOLDER = click.Path(exists=True, file_okay=False, path_type=pathlib.Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=pathlib.Path)
OUTPUT = click.Path(file_okay=False, path_type=pathlib.Path)


def named_dataset():
    """Decorator: the options that name a prepared data set, for `open_dataset`."""
    return _decorator(
        click.option("--dataset", metavar="NAME", help="Prepared data set instead of files."),
        click.option("--data-dir", type=OUTPUT, help="Where it was prepared; see prepare."),
    )


def labelled_images(prefix="", *, what="Images"):
    """Decorator: the options that name a set of labelled images, for `open_dataset`.

    Args:
        prefix: What the names of the options begin with, for example `"val-"` for `--val-images`.
        what: What to call the images in the help.
    """
    return _decorator(
        click.option(f"--{prefix}images", type=FOLDER, multiple=True, help=f"{what}; repeatable."),
        click.option(f"--{prefix}masks", type=FOLDER, multiple=True, help="Masks, by file stem."),
        click.option(f"--{prefix}split", type=FILE, help="File of the stems to use; else all."),
        click.option(f"--{prefix}pairs", type=FILE, help="CSV image,mask instead of folders."),
    )


def file_format():
    """Decorator: the options that say how image files are named and read, for `open_dataset`."""
    return _decorator(
        click.option("--mask-suffix", default="", help="What mask stems have behind the image's."),
        click.option("--bands", callback=_parse_bands, help="Bands as channels, such as 4,1,2."),
        click.option(
            "--value-range",
            nargs=2,
            type=float,
            metavar="LOW HIGH",
            help="Stored values that become 0 and 255; required beyond 8 bits.",
        ),
    )


def _decorator(*options):
    def decorate(command):
        for option in reversed(options):  # as stacked decorators are applied
            command = option(command)
        return command

    return decorate


def _parse_bands(context, parameter, text):
    try:
        return None if text is None else tuple(int(band) for band in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 4,1,2.") from None


def open_classes(options):
    """The `ClassTable` of the labels: that of the named data set, or of `--classes`; or `None`."""
    from keras_deeplab.data.class_table import read_class_table
    from keras_deeplab.data.named import classes

    if options["dataset"] is None:
        return options["classes"] and read_class_table(options["classes"])
    if options["classes"]:
        raise click.UsageError(f"--classes is not needed: {options['dataset']} has its own.")
    return classes(options["dataset"])


def published_training(name):
    """Settings of a `Recipe` that the published training has on a named data set; else `{}`."""
    from keras_deeplab.data.named import record

    if name is None:
        return {}
    return {"crop": record(name).crop, "scale": record(name).scale, "rotate": False}


def open_dataset(options, classes, *, prefix="", required=True, named_split):
    """The dataset that `named_dataset`, or `labelled_images` and `file_format` describe.

    Args:
        options: Dict of the command's options.
        classes: `ClassTable` of the masks.
        prefix: What the keys of the set begin with, for example `"val_"`.
        required: Whether there must be one.
        named_split: Split of a named data set to take.

    Returns:
        `tf.data.Dataset` as of `from_folder`; `None` where none is named and none is required.
    """
    from keras_deeplab.data.folder import from_csv, from_folder

    images, masks, split, pairs = (
        options[f"{prefix}{name}"] for name in ("images", "masks", "split", "pairs")
    )
    if options["dataset"] is not None:
        if any((images, masks, split, pairs, options["bands"], options["value_range"])):
            raise click.UsageError("--dataset stands instead of all options that name files.")
        return _open_named(options["dataset"], options["data_dir"], named_split)
    form = {"bands": options["bands"], "value_range": options["value_range"]}
    flag = f"--{prefix}".replace("_", "-")
    folders = bool(images or masks or split)
    if not (folders or pairs or required):
        return None
    if pairs and not folders:
        return from_csv(pairs, classes, **form)
    if pairs or not (images and masks):
        raise click.UsageError(f"Give {flag}images and {flag}masks, or {flag}pairs instead.")
    suffix = options["mask_suffix"]
    return from_folder(images, masks, classes, split=split, mask_suffix=suffix, **form)


def _open_named(name, data_dir, split):
    from keras_deeplab.data.named import dataset_builder, is_prepared, read

    builder = dataset_builder(name, data_dir=data_dir)
    if not is_prepared(builder):
        raise ValueError(
            f"{name} is not prepared in {builder.data_path}. Make it with `keras-deeplab prepare "
            f"{name}`, with the same --data-dir."
        )
    return read(builder, split)
