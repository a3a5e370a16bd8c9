"""`keras-deeplab compare`: two models, or two protocols, on the same labelled images."""

import pathlib

import click

from keras_deeplab._internal.errors import InputError
from keras_deeplab.commands.data_options import OUTPUT_FILE
from keras_deeplab.commands.evaluation_options import (
    PROTOCOL,
    check_same_classes,
    compile_chosen,
    evaluated_images,
    make_protocol,
    model_metadata,
    open_evaluation,
    protocol_for,
    protocol_options,
    runtime_options,
)
from keras_deeplab.commands.group import Command


@click.command("compare", cls=Command)
@click.argument("a")
@click.argument("b")
@evaluated_images()
@protocol_options()
@runtime_options(precision="float32")
@click.option("--protocol-b", type=PROTOCOL, help="Another protocol for B.")
@click.option("--json", "json_file", type=OUTPUT_FILE, help="Write all numbers to this JSON file.")
def command(
    a: str, b: str, protocol_b: str | None, json_file: pathlib.Path | None, **options
) -> None:
    """Compare models A and B on the same images.

    A model is a zoo name, the folder of a training run or a model file.

    The difference of each class has an interval from a paired bootstrap over the images. With
    --protocol-b, A and B may be the same model.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.files import write_json
    from keras_deeplab._internal.progress import WithProgress
    from keras_deeplab.evaluation.comparison import compare
    from keras_deeplab.evaluation.tables import print_comparison

    of_a, of_b = model_metadata(a), model_metadata(b)
    check_same_classes(a, of_a.classes, b, of_b.classes)
    if of_a.form != of_b.form:
        raise InputError(f"{a} and {b} were trained on other bands or another range of values.")
    first, classes, source = open_evaluation(a, options)
    second = first if a == b else compile_chosen(b, options)
    protocol = make_protocol(options, source)
    other = protocol_for(protocol_b, source, options["test_size"]) if protocol_b else protocol
    images = WithProgress(source.open(classes))
    comparison = compare(
        [(first, protocol), (second, other)], images, classes, names=source.names(classes)
    )
    comparison = {"a": a, "b": b, "data": str(source), **comparison}
    print_comparison(comparison)
    if json_file:
        write_json(json_file, comparison)


if __name__ == "__main__":
    command()
