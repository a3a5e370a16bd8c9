"""`keras-deeplab export`: a model as a file for other programs, such as QGIS plugins."""

import pathlib

import click

from keras_deeplab.commands.data_options import OutputPath
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.int8_options import check_int8_options, int8_options, write_int8
from keras_deeplab.runtimes.formats import FORMATS
from keras_deeplab.runtimes.registry import INT8


@click.command("export", cls=Command)
@click.argument("model", metavar="NAME_OR_RUN")
@click.option(
    "--output",
    type=OutputPath(path_type=pathlib.Path),
    required=True,
    help="File to write; the folder of a SavedModel.",
)
@click.option(
    "--format", type=click.Choice(list(FORMATS)), help="Default: by the suffix of --output."
)
@click.option(
    "--tile",
    type=click.IntRange(32),
    default=512,
    show_default=True,
    help="Height and width of the images that the file takes, in pixels.",
)
@click.option("--dynamic", is_flag=True, help="Leave height and width open.")
@click.option(
    "--raw",
    is_flag=True,
    help="ONNX: NHWC, 0..255 and logits, not NCHW, 0..1 and probabilities for QGIS plugins.",
)
@int8_options()
def command(model, output, format, tile, dynamic, raw, **options):
    """Write the model NAME_OR_RUN as a file for other programs.

    NAME_OR_RUN is a zoo name, the folder of a training run or a .keras file. The file is run in its
    own runtime on an image of the kind that the model is for. It is written only if at least 99.9 %
    of the pixels have the class of Keras.

    \b
    .onnx    for QGIS plugins (Deepness, GeoDeep): NCHW, 0..1, probabilities
    others   NHWC, 0..255, logits

    --precision int8 quantises an OpenVINO file instead: several times faster, with slightly other
    classes. It is checked against float32, and with --images and --masks by mIoU.
    """
    from keras_deeplab.commands.startup import silence_tensorflow

    silence_tensorflow()
    check_int8_options(format, options)
    if options["precision"] == INT8:
        if dynamic or raw:
            raise click.UsageError("--dynamic and --raw are not for --precision int8.")
        write_int8(model, output, tile, options)
        return
    from keras_deeplab.runtimes.exporting import export

    click.echo(export(model, output, format, tile=tile, dynamic=dynamic, raw=raw))


if __name__ == "__main__":
    command()
