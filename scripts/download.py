"""`keras-deeplab download`: fetches and converts published weights ahead of their use."""

import click

from keras_deeplab.commands.group import Command


@click.command("download", cls=Command)
@click.argument("names", nargs=-1, required=True)
def command(names):
    """Fetch, check and convert the weights of the zoo models NAMES, for later use offline."""
    from keras_deeplab.commands.startup import import_tensorflow

    import_tensorflow()
    from keras_deeplab.zoo.manifest import default_zoo
    from keras_deeplab.zoo.trained_weights import trained_weights

    for name in names:
        click.echo(f"{name}: {trained_weights(default_zoo(), name)}")


if __name__ == "__main__":
    command()
