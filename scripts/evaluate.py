"""`keras-deeplab evaluate`: metrics of a model on labelled images."""

import pathlib
import shlex

import click

from keras_deeplab.commands.data_options import arguments
from keras_deeplab.commands.evaluation_options import (
    evaluated_images,
    make_protocol,
    open_labelled,
    protocol_options,
)
from keras_deeplab.commands.group import Command

OUTPUT = click.Path(dir_okay=False, path_type=pathlib.Path)


@click.command("evaluate", cls=Command)
@click.argument("model")
@evaluated_images()
@protocol_options()
@click.option("--json", "json_file", type=OUTPUT, help="Write all numbers here.")
@click.option("--report", type=OUTPUT, help="Write a page for the browser here (HTML).")
def command(model, json_file, report, **options):
    """Evaluate MODEL, a zoo name or the folder of a training run, at full image size.

    The images are the val split of a prepared data set (--dataset), folders, or a CSV file. Files
    are read as the run read them: --bands and --value-range are for files of other form.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.files import write_json
    from keras_deeplab.evaluation.assessment import assess
    from keras_deeplab.evaluation.tables import print_summary

    protocol = make_protocol(options)
    network, table, images = open_labelled(model, options)
    assessment = assess(network, images, table, protocol, names=images.names())
    print_summary(assessment.summary())
    if json_file:
        write_json(json_file, assessment.summary())
    if report:
        command_line = shlex.join(["keras-deeplab", *arguments("evaluate")])
        assessment.write_report(report, model=model, dataset=str(images), command=command_line)


if __name__ == "__main__":
    command()
