"""Folders of the zoo and of the commands: inside an installed package, in a checkout next to it."""

import pathlib

PACKAGE = pathlib.Path(__file__).parents[1]


def zoo_dir() -> pathlib.Path:
    """Folder of `manifest.json`, `weights/` and `cards/`."""
    return _resource_dir("zoo_files", "zoo")


def scripts_dir() -> pathlib.Path:
    """Folder of the command files."""
    return _resource_dir("scripts", "scripts")


def _resource_dir(installed: str, in_checkout: str) -> pathlib.Path:
    # The wheel moves both folders into the package (see pyproject.toml).
    inside = PACKAGE / installed
    return inside if inside.is_dir() else PACKAGE.parent / in_checkout
