"""`keras-deeplab info`: everything the zoo knows about a model."""

import json

import click

from keras_deeplab.commands.group import Command


@click.command("info", cls=Command)
@click.argument("name")
def command(name):
    """Print the zoo entry NAME as JSON."""
    from keras_deeplab.zoo.manifest import info

    click.echo(json.dumps(info(name), indent=1))


if __name__ == "__main__":
    command()
