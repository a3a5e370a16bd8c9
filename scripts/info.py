"""`keras-deeplab info`: everything the zoo knows about a model."""

import json

import click

from keras_deeplab.commands.group import Command


@click.command("info", cls=Command)
@click.argument("name")
@click.option("--stac", is_flag=True, help="Print a STAC item with the MLM extension instead.")
def command(name, stac):
    """Print the zoo entry NAME as JSON."""
    from keras_deeplab.zoo.manifest import default_zoo, info

    printed = info(name)
    if stac:
        from keras_deeplab.zoo.stac_entry import entry_item

        printed = entry_item(name, printed, default_zoo().folder.resolve().as_uri())
    click.echo(json.dumps(printed, indent=1))


if __name__ == "__main__":
    command()
