"""Option for the precision of a training, and the meaning of `auto`."""

from __future__ import annotations

import pathlib

import click

from keras_deeplab._internal.processor import has_amx
from keras_deeplab.commands.data_options import Decorator

AUTO = "auto"


def precision_option() -> Decorator:
    """Decorator: the option `--precision`; `chosen_precision` replaces `auto`."""
    return click.option(
        "--precision",
        type=click.Choice(["float32", "mixed_bfloat16", "mixed_float16", AUTO]),
        default="float32",
        show_default=True,
        help="auto: mixed_bfloat16 if the processor has AMX, else float32.",
    )


def chosen_precision(given: str, resumed: pathlib.Path | None) -> str:
    """The Keras dtype policy for `--precision`; prints what `auto` chose and why.

    Args:
        given: Value of the option.
        resumed: Folder of the run to resume, whose precision `auto` repeats on any processor;
            `None` for a new run.

    Raises:
        ValueError: When `auto` cannot read the run to resume.
    """
    if given != AUTO:
        return given
    noted = None if resumed is None else _noted_precision(resumed)
    if noted is not None:
        precision, reason = noted, f"as noted in {resumed}"
    elif has_amx():
        precision, reason = "mixed_bfloat16", "the processor has AMX"
    else:
        precision, reason = "float32", "the processor has no AMX"
    click.echo(f"Precision: {precision} (auto: {reason}).", err=True)
    return precision


def _noted_precision(folder: pathlib.Path) -> str | None:
    """Precision in the record of a run; `None` for a run that this command did not start."""
    from keras_deeplab.zoo.run_folders import check_version, read_run

    record = read_run(folder)
    check_version(record, folder)
    return record.get("settings", {}).get("precision")
