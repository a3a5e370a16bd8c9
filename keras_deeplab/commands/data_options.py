"""Options that several commands share: where labelled images are and how they are read."""

import pathlib
import sys

import click

from keras_deeplab.zoo.run_folders import RUN_RECORD, read_run

REPEATED = "keras_deeplab.repeated_run"  # in `Context.meta`: the record of the run to repeat
FOLDER = click.Path(exists=True, file_okay=False, path_type=pathlib.Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=pathlib.Path)
OUTPUT = click.Path(file_okay=False, path_type=pathlib.Path)


def named_dataset():
    """Decorator: the options that name a prepared data set, for `open_dataset`."""
    return decorator(
        click.option("--dataset", metavar="NAME", help="Prepared data set instead of files."),
        click.option("--data-dir", type=OUTPUT, help="Where it was prepared; see prepare."),
    )


def labelled_images(prefix="", *, what="Images"):
    """Decorator: the options that name a set of labelled images, for `open_dataset`.

    Args:
        prefix: What the names of the options begin with, for example `"val-"` for `--val-images`.
        what: What to call the images in the help.
    """
    return decorator(
        click.option(f"--{prefix}images", type=FOLDER, multiple=True, help=f"{what}; repeatable."),
        click.option(f"--{prefix}masks", type=FOLDER, multiple=True, help="Masks, by file stem."),
        click.option(f"--{prefix}split", type=FILE, help="File of the stems to use; else all."),
        click.option(f"--{prefix}pairs", type=FILE, help="CSV image,mask instead of folders."),
    )


def file_format():
    """Decorator: the options that say how image files are named and read, for `open_dataset`."""
    return decorator(
        click.option("--mask-suffix", default="", help="What mask stems have behind the image's."),
        click.option("--bands", type=_Bands(), help="Bands as channels, such as 4,1,2."),
        click.option(
            "--value-range",
            nargs=2,
            type=float,
            metavar="LOW HIGH",
            help="Stored values that become 0 and 255; required beyond 8 bits.",
        ),
    )


def decorator(*options):
    """Decorator that applies others in the order of their options in the help."""

    def decorate(command):
        for option in reversed(options):  # as stacked decorators are applied
            command = option(command)
        return command

    return decorate


class _Bands(click.ParamType):
    """Numbers separated by commas, as a tuple; or a list of them, as a run notes it."""

    name = "bands"

    def convert(self, value, parameter, context):
        if not isinstance(value, str):
            return tuple(value)
        try:
            return tuple(int(band) for band in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as 4,1,2.", parameter, context)


def from_run():
    """Decorator: the option that takes what a run was given, see `given_options`."""
    return click.option(
        "--from-run",
        type=FOLDER,
        is_eager=True,  # it is read before the options that it gives
        expose_value=False,
        callback=_take_options,
        help="Repeat the run in this folder; options given here win.",
    )


def _take_options(context, parameter, folder):
    if folder is None or context.resilient_parsing:
        return
    try:
        record = read_run(folder)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if "options" not in record:
        raise click.BadParameter(
            f"{folder / RUN_RECORD} does not note the options of the run, which an older version "
            f"wrote. Its command was: {record.get('command', 'not noted')}"
        )
    unknown = record["options"].keys() - {known.name for known in context.command.params}
    if unknown:
        raise click.BadParameter(
            f"{folder / RUN_RECORD} notes options that {context.command.name} does not have: "
            f"{', '.join(sorted(unknown))}."
        )
    context.default_map = record["options"]
    context.meta[REPEATED] = record


def given_options(context):
    """The options that a command was given, on the command line or by `--from-run`.

    Args:
        context: `click.Context` of the command.

    Returns:
        Dict by parameter name that JSON can hold and `from_run` takes. What belongs to one folder
        only, `output` and `resume`, is left out.
    """
    given = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP)
    return {
        name: _plain(value)
        for name, value in context.params.items()
        if name not in ("output", "resume") and context.get_parameter_source(name) in given
    }


def arguments(command):
    """What a command was called with, as arguments of `keras-deeplab`.

    Args:
        command: Its name.
    """
    return [command, *(sys.argv[2:] if sys.argv[1] == command else sys.argv[1:])]  # or the script


def _plain(value):
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, pathlib.Path) else value


def open_classes(options):
    """The `ClassTable` of the labels: that of the named data set, or of `--classes`; or `None`."""
    from keras_deeplab.data.class_table import read_class_table
    from keras_deeplab.data.datasets.registry import classes

    if options["dataset"] is None:
        return options["classes"] and read_class_table(options["classes"])
    if options["classes"]:
        raise click.UsageError(f"--classes is not needed: {options['dataset']} has its own.")
    return classes(options["dataset"])


def published_training(name):
    """Settings of a `Recipe` that the published training has on a named data set; else `{}`."""
    from keras_deeplab.data.datasets.registry import dataset_spec

    if name is None:
        return {}
    return {
        "crop": dataset_spec(name).crop,
        "base_size": dataset_spec(name).base_size,
        "rotate": False,
    }


def open_dataset(options, classes, *, prefix="", required=True, named_split, bad_files=None):
    """The dataset that `named_dataset`, or `labelled_images` and `file_format` describe.

    Args:
        options: Dict of the command's options.
        classes: `ClassTable` of the masks.
        prefix: What the keys of the set begin with, for example `"val_"`.
        required: Whether there must be one.
        named_split: Split of a named data set to take.
        bad_files: `BadFiles` for image and mask files that cannot be read, or `None`.

    Returns:
        `tf.data.Dataset` as of `from_folder`; `None` where none is named and none is required.
    """
    from keras_deeplab.data.files.folder import from_csv, from_folder

    images, masks, split, pairs = (
        options[f"{prefix}{name}"] for name in ("images", "masks", "split", "pairs")
    )
    if options["dataset"] is not None:
        if any((images, masks, split, pairs, options["bands"], options["value_range"])):
            raise click.UsageError("--dataset stands instead of all options that name files.")
        if bad_files is not None:
            raise click.UsageError(
                "--on-bad-file skip is for image and mask files. A prepared data set holds "
                "checksummed records in a few large files: if one is damaged, delete its folder "
                f"and run `keras-deeplab prepare {options['dataset']}` again."
            )
        return _open_named(options["dataset"], options["data_dir"], named_split)
    form = {name: options[name] for name in ("bands", "value_range")}
    form["bad_files"] = bad_files
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
    from keras_deeplab.data.datasets.registry import dataset_builder, is_prepared, read

    builder = dataset_builder(name, data_dir=data_dir)
    if not is_prepared(builder):
        raise ValueError(
            f"{name} is not prepared in {builder.data_path}. Make it with `keras-deeplab prepare "
            f"{name}`, with the same --data-dir."
        )
    return read(builder, split)


def dataset_files(options, *, prefix="", named_split):
    """The files behind a dataset that `open_dataset` opens, with the same arguments.

    Returns:
        List of paths: images and masks, or the records of a split of a prepared data set; empty
        where none is named.
    """
    from keras_deeplab.data.datasets.registry import dataset_builder
    from keras_deeplab.data.files.pairs import pairs_of_csv, pairs_of_folders

    if options["dataset"] is not None:
        builder = dataset_builder(options["dataset"], data_dir=options["data_dir"])
        return builder.info.splits[named_split].filepaths
    images, masks, split, pairs = (
        options[f"{prefix}{name}"] for name in ("images", "masks", "split", "pairs")
    )
    if pairs:
        found = pairs_of_csv(pairs)
    elif images:
        suffix = options["mask_suffix"]
        found = pairs_of_folders(images, masks, split=split, mask_suffix=suffix)
    else:
        found = []
    return [path for pair in found for path in pair]
