"""Figures of a zoo entry: measured under the named protocols, with card, reports and pictures."""

import importlib.metadata
import json
import shlex

import click

from keras_deeplab import __version__
from keras_deeplab._internal.files import atomic_write, write_json
from keras_deeplab._internal.names import unknown_name
from keras_deeplab.commands.evaluation_options import protocol_named
from keras_deeplab.prediction.protocols import PROTOCOLS

FIGURES = (  # of the summary of an evaluation, that a record keeps
    *("protocol", "precision", "images", "pixels", "ignored_pixels", "classes_present"),
    *("aAcc", "mIoU", "mAcc", "mDice", "mFscore", "fwIoU"),
    *("mBoundaryIoU", "mBoundaryFscore", "ECE", "confusion"),
)
IMAGE_OPTIONS = (
    *("dataset", "data_dir", "images", "masks", "split", "pairs", "mask_suffix", "bands"),
    *("value_range", "classes", "test_size", "precision"),
)


def measure(context, name, entry, model, table, images, zoo, protocols):
    """Measures a model of the zoo and writes manifest, card and reports after each protocol.

    Args:
        context: `click.Context` of the command, whose options describe the images.
        name: Zoo name.
        entry: Its entry; gets the records, each in place of an earlier one of its protocol.
        model: Its model.
        table: Its `ClassTable`.
        images: `LabelledImages`.
        zoo: Folder of the zoo.
        protocols: Names of protocols.
    """
    from keras_deeplab.evaluation.assessment import assess
    from keras_deeplab.evaluation.report.plots import plot_confusion

    validation = f"{entry['dataset']['name']}, {entry['dataset']['validation']}"
    for protocol_name in protocols:
        protocol = protocol_named(protocol_name, images.options)
        assessment = assess(model, images, table, protocol, names=images.names())
        command = shlex.join(
            [
                *("keras-deeplab", "evaluate", name, "--protocol", protocol_name),
                *given_arguments(context, IMAGE_OPTIONS),
            ]
        )
        pictures = zoo / "cards" / name
        assessment.write_report(
            pictures / f"{protocol_name}.html", model=name, dataset=validation, command=command
        )
        if protocol_name == "published":
            with atomic_write(pictures / "confusion.png") as path:
                plot_confusion(assessment.metrics.confusion, table.names, path)
        record = measured_record(assessment.summary(), command)
        measured = {known["protocol"]["name"]: known for known in entry["measured"]}
        measured[protocol_name] = record
        entry["measured"] = [measured[known] for known in PROTOCOLS if known in measured]
        write_entry(zoo, name, entry)
        click.echo(
            f"{name}, {protocol_name}: mIoU {record['mIoU']:.4f} "
            f"({' .. '.join(f'{end:.4f}' for end in record['intervals']['mIoU'])})"
        )


def given_arguments(context, names):
    """The command-line arguments that give some of the options of a command, where they were given.

    Args:
        context: `click.Context`.
        names: Parameter names of the options.
    """
    given = []
    for parameter in context.command.params:
        value = context.params[parameter.name]
        if parameter.name not in names or value in (parameter.get_default(context), None, ()):
            continue
        for item in value if parameter.multiple else [value]:
            if parameter.nargs > 1:
                parts = map(str, item)
            else:  # a list of numbers is one word
                parts = [",".join(map(str, item)) if isinstance(item, tuple) else str(item)]
            given += [parameter.opts[0], *parts]
    return given


def measured_record(summary, command):
    """What the manifest keeps of an evaluation; undefined figures are null.

    Args:
        summary: Dict of `Assessment.summary`.
        command: The command that prints it.
    """
    intervals = summary["intervals"]
    packages = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")}
    return {
        "command": command,
        "versions": {"keras_deeplab": __version__, **packages},
        **{key: summary[key] for key in FIGURES},
        "IoU": summary["per_class"]["IoU"],
        "intervals": {key: intervals[key] for key in ("level", "aAcc", "mIoU")},
    }


def read_entry(zoo, name):
    """The entry of a model in the manifest of a folder; a `ValueError` where there is none."""
    models = _read_manifest(zoo)["models"]
    if name not in models:
        raise unknown_name("zoo model", name, list(models))
    return models[name]


def _read_manifest(zoo):
    return json.loads((zoo / "manifest.json").read_text(encoding="utf-8"))


def write_entry(zoo, name, entry):
    """Adds or replaces one entry of the manifest, and its card.

    Args:
        zoo: Folder of the zoo.
        name: Zoo name.
        entry: See `zoo/manifest.schema.json`.
    """
    from keras_deeplab.publishing.cards import card_text

    content = _read_manifest(zoo)
    content["models"][name] = entry
    write_json(zoo / "manifest.json", content)
    with atomic_write(zoo / "cards" / f"{name}.md") as path:
        path.write_text(card_text(name, entry), encoding="utf-8")
