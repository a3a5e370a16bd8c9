"""`keras-deeplab evaluate`: metrics of a model on labelled images."""

import pathlib
import shlex

import click

from keras_deeplab.commands.data_options import OUTPUT_FILE
from keras_deeplab.commands.evaluation_options import (
    evaluated_images,
    make_protocol,
    open_evaluation,
    protocol_options,
    runtime_options,
)
from keras_deeplab.commands.group import Command
from keras_deeplab.commands.repetition import arguments


@click.command("evaluate", cls=Command)
@click.argument("model")
@evaluated_images()
@protocol_options()
@runtime_options(precision="float32")
@click.option("--json", "json_file", type=OUTPUT_FILE, help="Write all numbers to this JSON file.")
@click.option("--report", type=OUTPUT_FILE, help="Write an HTML report to this file.")
def command(
    model: str, json_file: pathlib.Path | None, report: pathlib.Path | None, **options
) -> None:
    """Evaluate MODEL, a zoo name, the folder of a training run or a model file.

    Every image is predicted and compared with its label at full size. The images are the val split
    of a prepared dataset (--dataset), folders, or a CSV file. A run's --bands and --value-range are
    used unless you give others.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.files import write_json
    from keras_deeplab._internal.progress import WithProgress
    from keras_deeplab.evaluation.assessment import assess
    from keras_deeplab.evaluation.tables import print_summary

    predictor, classes, source = open_evaluation(model, options)
    protocol = make_protocol(options, source)
    images = WithProgress(source.open(classes))
    assessment = assess(predictor, images, classes, protocol, names=source.names(classes))
    print_summary(assessment.summary())
    if json_file:
        write_json(json_file, assessment.summary())
    if report:
        command_line = shlex.join(["keras-deeplab", *arguments("evaluate")])
        assessment.write_report(report, model=model, dataset=str(source), command=command_line)


if __name__ == "__main__":
    command()
