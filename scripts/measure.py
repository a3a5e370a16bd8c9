"""`keras-deeplab measure`: the figures of a zoo entry, its card and its reports, made anew."""

import click

from keras_deeplab.commands.data_options import FOLDER
from keras_deeplab.commands.evaluation_options import PROTOCOL, evaluated_images, open_labelled
from keras_deeplab.commands.group import Command


@click.command("measure", cls=Command)
@click.argument("name")
@evaluated_images()
@click.option(
    "--protocol",
    "protocols",
    type=PROTOCOL,
    multiple=True,
    help="Only this one; repeatable. All by default.",
)
@click.option("--zoo", type=FOLDER, help="The zoo's folder; the installed one by default.")
@click.pass_context
def command(context, name, protocols, zoo, **options):
    """Measure the zoo entry NAME under every protocol, and write manifest, card and reports.

    Each protocol is written as soon as it is done: an interrupted run goes on with --protocol.
    """
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab._internal.resources import zoo_dir
    from keras_deeplab.publishing.measuring import measure, read_entry

    zoo = zoo or zoo_dir()
    entry = read_entry(zoo, name)
    model, table, images = open_labelled(name, options)
    measure(context, name, entry, model, table, images, zoo, protocols or PROTOCOL.choices)


if __name__ == "__main__":
    command()
