"""`keras-deeplab compare`: two models, or two protocols, on the same labelled images."""

import pathlib

import click

from keras_deeplab.commands.evaluation_options import (
    PROTOCOL,
    check_same_classes,
    evaluated_images,
    make_protocol,
    open_labelled,
    protocol_named,
    protocol_options,
)
from keras_deeplab.commands.group import Command

OUTPUT = click.Path(dir_okay=False, path_type=pathlib.Path)


@click.command("compare", cls=Command)
@click.argument("a")
@click.argument("b")
@evaluated_images()
@protocol_options()
@click.option("--protocol-b", type=PROTOCOL, help="Another protocol for B.")
@click.option("--json", "json_file", type=OUTPUT, help="Write all numbers here.")
def command(a, b, protocol_b, json_file, **options):
    """Compare models A and B, zoo names or folders of training runs, on the same images.

    The difference of each class has an interval from a paired bootstrap over the images. With
    --protocol-b, A and B may be the same model.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.files import write_json
    from keras_deeplab.evaluation.comparison import compare
    from keras_deeplab.evaluation.tables import print_comparison
    from keras_deeplab.zoo.loader import image_format, open_model

    protocol = make_protocol(options)
    other = protocol_named(protocol_b, options) if protocol_b else protocol
    first, table, images = open_labelled(a, options)
    second, table_of_b = (first, table) if b == a else open_model(b)
    check_same_classes(f"The labels and {a}", table, b, table_of_b)
    if image_format(a) != image_format(b):
        raise ValueError(f"{a} and {b} were trained on other bands or another range of values.")
    contenders = [(first, protocol), (second, other)]
    comparison = compare(contenders, images, table, names=images.names())
    comparison = {"a": a, "b": b, "data": str(images), **comparison}
    print_comparison(comparison)
    if json_file:
        write_json(json_file, comparison)


if __name__ == "__main__":
    command()
