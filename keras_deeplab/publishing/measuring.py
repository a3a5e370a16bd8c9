"""Figures of a zoo entry: measured under the named protocols, with card, reports and pictures."""

from __future__ import annotations

import importlib.metadata
import shlex
import typing
from collections.abc import Iterable, Iterator

from keras_deeplab import __version__
from keras_deeplab._internal.files import atomic_write
from keras_deeplab._internal.progress import WithProgress
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.source import DataSource
from keras_deeplab.evaluation.assessment import assess
from keras_deeplab.evaluation.report.plots import plot_confusion
from keras_deeplab.prediction.protocols import PROTOCOLS, Protocol
from keras_deeplab.publishing.card_results import record_key, report_name
from keras_deeplab.publishing.cards import write_card
from keras_deeplab.runtimes.predictor import Predictor
from keras_deeplab.runtimes.registry import PRECISIONS, RUNTIMES
from keras_deeplab.zoo.manifest import Entry, Zoo

FIGURES = (  # of the summary of an evaluation, kept in a record
    *("protocol", "runtime", "precision"),
    *("images", "pixels", "ignored_pixels", "classes_present"),
    *("aAcc", "mIoU", "mAcc", "mDice", "mFscore", "fwIoU"),
    *("mBoundaryIoU", "mBoundaryFscore", "ECE", "confusion"),
)


def measure(
    zoo: Zoo,
    name: str,
    entry: Entry,
    predictor: Predictor,
    classes: ClassTable,
    source: DataSource,
    protocols: Iterable[Protocol],
    arguments: list[str],
    *,
    model: str | None = None,
    quantization: dict[str, typing.Any] | None = None,
) -> Iterator[Entry]:
    """Measures a model, and writes manifest, card and reports after each protocol.

    Args:
        zoo: `Zoo` to write to.
        name: Zoo name.
        entry: Its entry. Each new record replaces an earlier one of the same protocol and
            precision.
        predictor: Its `Predictor`.
        classes: Its `ClassTable`.
        source: `DataSource` of the validation images.
        protocols: Named protocols.
        arguments: Arguments of `keras-deeplab evaluate` that name the images; a record keeps the
            command that prints its figures.
        model: What that command evaluates; the entry by default.
        quantization: How the int8 file of the entry was made, for its records.

    Yields:
        The record of each protocol, once it is written.
    """
    images = WithProgress(source.open(classes))
    validation = f"{entry['dataset']['name']}, {entry['dataset']['validation']}"
    pictures = zoo.folder / "cards" / name
    for protocol in protocols:
        assessment = assess(predictor, images, classes, protocol, names=source.names(classes))
        how = ["--protocol", protocol.name]
        how += ["--runtime", predictor.runtime, "--precision", predictor.precision]
        command = shlex.join(["keras-deeplab", "evaluate", model or name, *how, *arguments])
        record = measured_record(assessment.summary(), command)
        if quantization is not None:
            record["quantization"] = quantization
        assessment.write_report(
            pictures / report_name(record), model=name, dataset=validation, command=command
        )
        if record_key(record) == ("published", "float32"):
            with atomic_write(pictures / "confusion.png") as path:
                plot_confusion(assessment.metrics.confusion, classes.names, path)
        measured = {record_key(known): known for known in [*entry["measured"], record]}
        entry["measured"] = [measured[known] for known in sorted(measured, key=_position)]
        zoo.write_entry(name, entry)
        write_card(zoo, name)
        yield record


def _position(key: tuple[str, str]) -> tuple[int, int]:
    """Where a record stands: those of float32 first, in the order of the protocols."""
    protocol, precision = key
    return [*PRECISIONS, "float16"].index(precision), list(PROTOCOLS).index(protocol)


def measured_record(summary: dict[str, typing.Any], command: str) -> dict[str, typing.Any]:
    """What the manifest keeps of an evaluation; undefined figures are null.

    Args:
        summary: Dict of `Assessment.summary`.
        command: The command that prints it.
    """
    intervals = summary["intervals"]
    packages = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")}
    packages |= RUNTIMES[summary["runtime"]].versions
    return {
        "command": command,
        "versions": {"keras_deeplab": __version__, **packages},
        **{key: summary[key] for key in FIGURES},
        "IoU": summary["per_class"]["IoU"],
        "intervals": {key: intervals[key] for key in ("level", "aAcc", "mIoU")},
    }
