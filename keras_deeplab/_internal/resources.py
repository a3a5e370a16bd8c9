"""Where the zoo and the commands lie: inside an installed package, beside it in a checkout."""

import pathlib

PACKAGE = pathlib.Path(__file__).parents[1]


def zoo_dir():
    """Folder of `manifest.json`, `weights/` and `cards/`."""
    return _resource_dir("zoo_files", "zoo")


def scripts_dir():
    """Folder of the command files."""
    return _resource_dir("scripts", "scripts")


def _resource_dir(installed, in_checkout):
    # The wheel moves both folders into the package (see pyproject.toml).
    inside = PACKAGE / installed
    return inside if inside.is_dir() else PACKAGE.parent / in_checkout
