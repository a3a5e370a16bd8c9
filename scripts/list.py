"""`keras-deeplab list`: the models of the zoo."""

import click

from keras_deeplab.commands.group import Command


@click.command("list", cls=Command)
@click.argument("pattern", default="*")
def command(pattern):
    """List the zoo models whose names match PATTERN, for example '*dubai'."""
    from rich.console import Console
    from rich.table import Table

    from keras_deeplab.zoo.manifest import info, list_models

    listing = Table()
    for title in ("name", "data", "classes", "mIoU %", "MB", "weights"):
        listing.add_column(title, no_wrap=title == "name")
    for name in list_models(pattern):
        entry = info(name)
        size = entry["weights"] and entry["weights"]["bytes"]
        listing.add_row(
            name,
            entry["dataset"]["name"],
            str(len(entry["classes"])),
            miou(entry),
            f"{size / 1e6:.1f}" if size else "",
            where(name, entry),
        )
    console = Console()
    console.print(listing)
    console.print("* as reported by the source; the others were measured here.")


def miou(entry):
    """The mIoU in percent: measured here, or the source's, marked with a star."""
    from keras_deeplab.zoo.manifest import measured_miou

    here = measured_miou(entry, "published")
    if here is not None:
        return f"{here:.2f}"
    figure = entry.get("source", {}).get("mIoU")
    return "" if figure is None else f"{figure:.2f}*"


def where(name, entry):
    """Whether the weights are bundled, cached, downloaded at first use, or not public."""
    from keras_deeplab.zoo.manifest import cached_weights

    if entry["status"] == "published":
        return "cached" if cached_weights(name, entry).exists() else "download"
    return entry["status"].replace("_", " ")


if __name__ == "__main__":
    command()
