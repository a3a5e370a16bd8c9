"""Metrics of an evaluation or a comparison as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_deeplab.prediction.protocols import parse_protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLUMNS = {"IoU": "IoU", "Acc": "Acc", "Fscore": "Fscore", "BoundaryIoU": "Boundary"}


def print_summary(summary: Mapping[str, Any]) -> None:
    """Prints the metrics of each class, their means, and which pixels and classes are missing.

    Args:
        summary: Dict of `Assessment.summary`.
    """
    from rich.console import Console

    per_class, intervals = summary["per_class"], summary["intervals"]
    first, *others = COLUMNS.values()
    listing = _table("class", "pixels", first, f"{intervals['level']:.0%} interval", *others)
    for index, name in enumerate(per_class["name"]):
        values = [fraction(per_class[column][index]) for column in COLUMNS]
        pixels = f"{per_class['labelled_pixels'][index]:,}"
        listing.add_row(name, pixels, values[0], span(intervals["IoU"][index]), *values[1:])
    listing.add_section()
    means = [fraction(summary[f"m{column}"]) for column in COLUMNS]
    pixels = f"{summary['pixels']:,}"
    listing.add_row("mean", pixels, means[0], span(intervals["mIoU"]), *means[1:])
    console = Console()
    console.print(listing)
    for line in summary_lines(summary):
        _print_plain(console, line)


def _print_plain(console: Console, line: str) -> None:
    # Names of images and classes may contain brackets, which are not Rich markup.
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The metrics over all classes as lines of text."""
    protocol = parse_protocol(summary["protocol"])
    per_class = summary["per_class"]
    absent = [
        name
        for name, pixels in zip(per_class["name"], per_class["labelled_pixels"], strict=True)
        if not pixels
    ]
    return [
        f"mIoU {fraction(summary['mIoU'])}   aAcc {fraction(summary['aAcc'])}   "
        f"calibration error (ECE) {fraction(summary['ECE'])}",
        f"Macro averages over classes: mAcc {fraction(summary['mAcc'])}, mFscore "
        f"{fraction(summary['mFscore'])}, mDice {fraction(summary['mDice'])}.",
        f"Over all pixels: frequency weighted IoU (fwIoU) {fraction(summary['fwIoU'])}, micro IoU "
        f"{fraction(summary['microIoU'])}; micro accuracy, precision and F-score equal aAcc.",
        f"{summary['images']} images, {summary['pixels']:,} pixels counted, "
        f"{summary['ignored_pixels']:,} ignored; {summary['classes_present']} of "
        f"{summary['classes']} classes labelled"
        + (f", not labelled: {', '.join(absent)}." if absent else "."),
        f"Protocol {protocol.name}. {protocol} "
        f"Computed by {summary['runtime']} in {summary['precision']}.",
    ]


def print_comparison(comparison: Mapping[str, Any]) -> None:
    """Prints the IoU of two evaluations side by side, and their difference.

    Args:
        comparison: Dict of `evaluation.comparison.compare`.
    """
    from rich.console import Console

    first, second = comparison["first"], comparison["second"]
    level = f"{comparison['level']:.0%} interval"
    listing = _table("class", "IoU of A", "of B", "B - A", level, "B better")
    ious = [side["per_class"]["IoU"] for side in (first, second)]
    rows = zip(first["per_class"]["name"], *ious, comparison["difference"]["IoU"], strict=True)
    for row in rows:
        listing.add_row(*_cells(*row))
    listing.add_section()
    mean = comparison["difference"]["mIoU"]
    listing.add_row(*_cells("mean", first["mIoU"], second["mIoU"], mean))
    console = Console()
    console.print(listing)
    for letter, side in (("A", first), ("B", second)):
        protocol = parse_protocol(side["protocol"])
        _print_plain(
            console,
            f"{letter}: {comparison[letter.lower()]}, protocol {protocol.name}. {protocol}",
        )
    _print_plain(
        console,
        f"{comparison['images']} images. Paired bootstrap: {comparison['level']:.0%} interval of "
        "B - A, and share of the replicates in which B is better.",
    )


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table()
    table.add_column(first, overflow="fold")
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _cells(
    name: str, first: float | None, second: float | None, difference: Mapping[str, Any]
) -> tuple[str, ...]:
    change = "-" if first is None or second is None else f"{second - first:+.4f}"
    share = difference["share_positive"]
    return (
        name,
        fraction(first),
        fraction(second),
        change,
        span((difference["low"], difference["high"]), signed=True),
        "-" if share is None else f"{share:.0%}",
    )


def fraction(value: float | None) -> str:
    """A fraction with four digits, or a dash for `None`."""
    return "-" if value is None else f"{value:.4f}"


def span(interval: Sequence[float | None], signed: bool = False) -> str:
    """An interval of fractions, or a dash when it is undefined."""
    if None in interval:
        return "-"
    return "..".join(f"{end:{'+' if signed else ''}.3f}" for end in interval)
