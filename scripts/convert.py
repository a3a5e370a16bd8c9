"""`keras-deeplab convert`: converts weights of PyTorch and TensorFlow to Keras, and to PyTorch."""

import click

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import FILE, OUTPUT_FILE
from keras_deeplab.commands.group import Command


@click.command("convert", cls=Command)
@click.argument("file", type=FILE)
@click.option("--variant", required=True, help="Variant of the network, for example r50_d8.")
@click.option(
    "--output", type=OUTPUT_FILE, help="File to write: .weights.h5, or .pth with --to-torch."
)
@click.option("--to-torch", is_flag=True, help="Write a .pth file that PyTorch loads.")
@click.option("--parity", is_flag=True, help="Print statistics of every stage of the network.")
@click.option(
    "--reference", type=FILE, help="NPZ of 'input' and PyTorch's stages (NHWC) for --parity."
)
@click.option("--report", type=OUTPUT_FILE, help="Write the parity report to this JSON file.")
def command(file, variant, output, to_torch, parity, reference, report):
    """Convert FILE, the weights of a whole network, and check the result.

    Converts a .pth file of mmsegmentation's DeepLabV3+ or an official TensorFlow checkpoint of
    DeepLab (the .tar.gz archive, or its .index file) to .weights.h5, or with --to-torch a
    .weights.h5 file to .pth. Number of classes, input channels and auxiliary head are those of
    FILE.
    """
    if not (output or parity):
        raise click.UsageError("Nothing to do: give --output, --parity or both.")
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.files import write_json
    from keras_deeplab.checkpoints.inspection import build_for
    from keras_deeplab.checkpoints.keras_files import save_keras_weights
    from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint
    from keras_deeplab.checkpoints.state_dict import to_state_dict

    model = build_for(file, variant)
    if output and to_torch:
        write_torch_checkpoint(output, to_state_dict(model), {"variant": variant})
    elif output:
        if not output.name.endswith(".weights.h5"):
            raise InputError(f"{output}: the name of --output must end in .weights.h5.")
        save_keras_weights(model, output)
    if parity:
        rows = make_report(model, reference)
        print_report(rows)
        if report:
            write_json(report, {"file": file.name, "variant": variant, "stages": rows})


def make_report(model, reference):
    """Rows of the parity report, for the input of the reference or for fixed noise."""
    import numpy as np

    from keras_deeplab.checkpoints.parity import parity_report

    if reference is None:
        shape = (1, 128, 128, model.input_shape[-1])
        noise = np.random.default_rng(0).standard_normal(shape).astype("float32")
        return parity_report(model, noise)
    with np.load(reference, allow_pickle=False) as values:
        if "input" not in values:
            raise InputError(
                f"{reference} has no array 'input': add the normalised input (N, H, W, channels)."
            )
        stages = {name: values[name] for name in values.files if name != "input"}
        return parity_report(model, values["input"], stages)


def print_report(rows):
    """Prints the parity report as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "shape")
    for title in ("mean", "std", "max |value|", "max |difference|", "same class"):
        table.add_column(title, justify="right")
    for row in rows:
        difference, agreement = row.get("max_difference"), row.get("argmax_agreement")
        table.add_row(
            row["stage"],
            " x ".join(map(str, row["shape"])),
            *(f"{row[key]:.6f}" for key in ("mean", "std", "abs_max")),
            "" if difference is None else f"{difference:.2e}",
            "" if agreement is None else f"{agreement:.4%}",
        )
    Console().print(table)


if __name__ == "__main__":
    command()
