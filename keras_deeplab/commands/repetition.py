"""What a command was given: noted in a run record, and given again with `--from-run`."""

import pathlib
import sys
import typing

import click

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import FOLDER, Decorator

REPEATED = "keras_deeplab.repeated_run"  # in `Context.meta`: the record of the run to repeat


def from_run() -> Decorator:
    """Decorator: the option that takes what a run was given, see `given_options`."""
    return click.option(
        "--from-run",
        type=FOLDER,
        is_eager=True,  # it is read before the options that it gives
        expose_value=False,
        callback=_take_options,
        help="Repeat the run in this folder. Options on the command line override its options.",
    )


def _take_options(context, parameter, folder):
    if folder is None or context.resilient_parsing:
        return
    from keras_deeplab.zoo.run_folders import RUN_RECORD, check_version, read_run

    try:
        record = read_run(folder)
        check_version(record, folder)
    except InputError as error:
        raise click.BadParameter(str(error)) from error
    if "options" not in record:
        raise click.BadParameter(
            f"{folder / RUN_RECORD} notes no options: the run was started from Python. Repeat it "
            "with keras_deeplab.train."
        )
    unknown = record["options"].keys() - {known.name for known in context.command.params}
    if unknown:
        raise click.BadParameter(
            f"{folder / RUN_RECORD} notes options that {context.command.name} does not have: "
            f"{', '.join(sorted(unknown))}."
        )
    context.default_map = record["options"]
    context.meta[REPEATED] = record


def given_options(context: click.Context) -> dict[str, typing.Any]:
    """The options that a command was given, on the command line or by `--from-run`.

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


def _plain(value):
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    # Absolute: the run may be repeated from another folder.
    return str(value.absolute()) if isinstance(value, pathlib.Path) else value


def arguments(command: str) -> list[str]:
    """The arguments of `keras-deeplab` that the running process was started with.

    Args:
        command: Name of the command, which is missing when its script runs by its path.
    """
    return [command, *(sys.argv[2:] if sys.argv[1] == command else sys.argv[1:])]


def given_arguments(context: click.Context, names: typing.Collection[str]) -> list[str]:
    """The command-line arguments that give those options of a command that are not at default.

    Args:
        context: `click.Context`.
        names: Parameter names of the options.
    """
    given: list[str] = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name not in names or value in (parameter.get_default(context), None, ()):
            continue
        if getattr(parameter, "is_flag", False):
            given.append(parameter.opts[0])
            continue
        for item in value if getattr(parameter, "multiple", False) else [value]:
            if parameter.nargs > 1:
                parts = [str(part) for part in item]
            else:  # a list of numbers is one word
                parts = [",".join(map(str, item)) if isinstance(item, tuple) else str(item)]
            given += [parameter.opts[0], *parts]
    return given
