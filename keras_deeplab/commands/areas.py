"""Tables of a prediction: the area of each class, and its polygons."""

from __future__ import annotations

import csv
import typing
from collections.abc import Mapping

import click
import numpy as np

from keras_deeplab._internal.files import StrPath, atomic_write
from keras_deeplab.data.class_table import ClassTable


def picture_summary(labels: np.ndarray, classes: ClassTable) -> dict[str, typing.Any]:
    """Summary of a picture, with the keys of that of `predict_raster`; no hectares."""
    from keras_deeplab.prediction.raster.class_areas import ClassAreas

    areas = ClassAreas(len(classes), None)
    areas.add(labels, 0, 0)
    return {
        "classes": areas.record(classes.names),
        "nodata_pixels": labels.size - int(areas.pixels.sum()),
        "height": labels.shape[0],
        "width": labels.shape[1],
    }


def print_summary(image: str, summary: dict[str, typing.Any], *, title: bool = False) -> None:
    """Prints the areas and polygons of an image, and how much of it could not be read.

    Args:
        image: Its name.
        summary: What `predict_raster` or `picture_summary` returned.
        title: Whether to print the name, where there are several images.
    """
    print_areas(summary, title=image if title else None)
    if "polygons" in summary:
        print_polygons(summary["polygons"])
    if summary.get("bad_pixels"):
        click.echo(f"{summary['bad_pixels']:,} pixels of {image} could not be read.", err=True)


def write_areas(path: StrPath, summaries: Mapping[str, dict[str, typing.Any]]) -> None:
    """Writes the areas of images as CSV: a row for each class of each image."""
    fields = ["image", "name", "pixels", "share", "hectares"]
    with atomic_write(path) as new, open(new, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        for image, summary in summaries.items():
            writer.writerows({"image": image, **row} for row in summary["classes"])


def print_areas(summary: dict[str, typing.Any], *, title: str | None = None) -> None:
    """Prints pixels, share and, where known, hectares of each class; and pixels without data."""
    from rich.console import Console
    from rich.table import Table

    on_ground = summary["classes"][0]["hectares"] is not None
    console = Console()
    if title:  # not the table's title, which would break a long path
        console.print(title, markup=False, highlight=False, soft_wrap=True)
    table = Table("class")
    for heading in ("pixels", "share", *(["hectares"] if on_ground else [])):
        table.add_column(heading, justify="right")
    for row in summary["classes"]:
        cells = [row["name"], f"{row['pixels']:,}", f"{row['share']:.1%}"]
        table.add_row(*cells, *([f"{row['hectares']:,.2f}"] if on_ground else []))
    if summary["nodata_pixels"]:
        table.add_section()
        table.add_row("no data", f"{summary['nodata_pixels']:,}", "")
    console.print(table)


def print_polygons(summary: dict[str, typing.Any]) -> None:
    """Prints the number of polygons of each class and, where known, their hectares.

    Args:
        summary: What `vectorize` returns.
    """
    from rich.console import Console
    from rich.table import Table

    rows = summary["classes"]
    on_ground = any(row["hectares"] is not None for row in rows)
    table = Table("class")
    for heading in ("polygons", *(["hectares"] if on_ground else [])):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [row["name"], f"{row['polygons']:,}"]
        table.add_row(*cells, *([f"{row['hectares']:,.2f}"] if on_ground else []))
    if summary["left_out"]:
        table.add_section()
        table.add_row("left out, smaller", f"{summary['left_out']:,}")
    Console().print(table)
