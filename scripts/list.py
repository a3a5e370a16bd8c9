"""`keras-deeplab list`: the models of the zoo."""

import click

from keras_deeplab.cli import Command


@click.command("list", cls=Command)
@click.argument("pattern", default="*")
def command(pattern):
    """List the zoo models whose names match PATTERN, for example '*dubai'."""
    from rich.console import Console
    from rich.table import Table

    from keras_deeplab.manifest import info, list_models

    listing = Table("name", "variant", "dataset", "classes", "mIoU", "with flip", "MB")
    for name in list_models(pattern):
        entry = info(name)
        scores = {record["protocol"]: record["mIoU"] for record in entry["measured"]}
        listing.add_row(
            name,
            entry["variant"],
            entry["dataset"]["name"],
            str(len(entry["classes"])),
            f"{scores['single_scale']:.4f}",
            f"{scores['flip']:.4f}",
            f"{entry['weights']['bytes'] / 1e6:.1f}",
        )
    Console().print(listing)


if __name__ == "__main__":
    command()
