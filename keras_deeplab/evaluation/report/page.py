"""An evaluation as one HTML file that needs nothing beside it."""

import base64
import hashlib
import io
import pathlib

from keras_deeplab import __version__
from keras_deeplab._internal.files import atomic_write
from keras_deeplab.data.drawing import IGNORED_COLOR, class_colors
from keras_deeplab.evaluation.report.panels import (
    FADED,
    HATCHING,
    WRONG_COLOR,
    data_uri,
    sample_panels,
)
from keras_deeplab.evaluation.report.plots import plot_confusion, plot_reliability
from keras_deeplab.prediction.protocols import parse_protocol

FOLDER = pathlib.Path(__file__).parent  # of template, style sheet and script
DASH = "\N{EN DASH}"
MACRO = {  # metrics that are means over classes
    "mIoU": "Of the pixels labelled or predicted as a class, the share that is both.",
    "mAcc": "Of the pixels labelled as a class, the share predicted as it. Also called recall.",
    "mPrecision": "Of the pixels predicted as a class, the share labelled as it.",
    "mFscore": "Harmonic mean of precision and recall, of the classes that are labelled.",
    "mDice": "Twice the pixels that are both, over those labelled plus those predicted.",
    "mBoundaryIoU": "IoU of the strips along the outlines of a class alone.",
    "mBoundaryFscore": "How well labelled and predicted outlines meet, within a small distance.",
}
MICRO = {  # metrics over all pixels
    "aAcc": "Share of all pixels that are right.",
    "microIoU": "Intersections of all classes, added up, over their unions, added up.",
    "fwIoU": "IoU of the classes, each weighted by its labelled pixels.",
    "ECE": "Expected calibration error: how far confidence is from accuracy. 0 is best.",
}


def write_report(path, *, title, model, dataset, command, summary, rows, best, worst, table):
    """Writes an evaluation as an HTML page, whole or not at all.

    The page holds its pictures, style and script, and forbids the browser any request.

    Args:
        path: The HTML file.
        title: Heading of the page.
        model: Name of the model.
        dataset: Name of the data.
        command: The command that evaluates, as one line.
        summary: Dict of the metrics, JSON-able: fractions 0..1, `None` where undefined; counts of
            pixels; `protocol`, `per_class`, `intervals`, `calibration` and `confusion`, the last
            with labels in rows.
        rows: Iterable of one dict per image: `index`, `name`, `pixels`, `ignored_pixels`, `aAcc`,
            `mIoU`, `classes_present`, `worst_class`. Read once and never held in memory together.
        best: Samples with the best scores, the best first: objects with `row`, a dict as in
            `rows`; `image`, `(H, W, 3)` uint8 RGB; `label`, `(H, W)` uint8, 255 where ignored;
            `prediction`, `(H, W)` uint8.
        worst: Samples with the worst scores, the worst first.
        table: `ClassTable`.
    """
    style, script = (
        (FOLDER / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    pieces = _template().generate(
        version=__version__,
        style=style,
        script=script,
        policy=_content_policy(style, script),
        macro=MACRO,
        micro=MICRO,
        legend=_legend(),
        title=title,
        model=model,
        dataset=dataset,
        command=command,
        summary=summary,
        protocol=parse_protocol(summary["protocol"]),
        classes=_class_rows(summary, table),
        confusion_uri=_plot_uri(plot_confusion, summary["confusion"], table.names),
        reliability_uri=_plot_uri(plot_reliability, summary["calibration"]["bins"]),
        worst=_samples(worst, table),
        best=_samples(best, table),
        rows=rows,
    )
    # File names need not be Unicode: what Python could not decode is written as a backslash code.
    with (
        atomic_write(path) as beside,
        open(beside, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines(pieces)


def _template():
    """The page, whose values are text and never markup: names come from strangers."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(fraction=_fraction, interval=_interval, count="{:,}".format)
    return environment.get_template("report.html.jinja")


def _fraction(value):
    return DASH if value is None else f"{value:.4f}"


def _interval(ends):
    """Both ends of an interval as text, empty where there is none."""
    return f"{ends[0]:.4f}{DASH}{ends[1]:.4f}" if _known(ends) else ""


def _known(ends):
    return ends is not None and None not in ends


def _content_policy(style, script):
    """A Content-Security-Policy: no requests, and no style or script but these two."""
    hashes = {}
    for kind, text in (("style", style), ("script", script)):
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        hashes[kind] = f"{kind}-src 'sha256-{base64.b64encode(digest).decode('ascii')}'"
    rest = "img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; {hashes['style']}; {hashes['script']}; {rest}"


def _class_rows(summary, table):
    """One dict per class: its figures, `color`, and `interval` of the IoU or `None`."""
    columns = summary["per_class"]
    intervals = summary["intervals"]["IoU"] or [None] * len(table)
    return [
        {
            **{key: values[index] for key, values in columns.items()},
            "color": _hex(color),
            "interval": intervals[index] if _known(intervals[index]) else None,
        }
        for index, color in enumerate(class_colors(table).tolist())
    ]


def _legend():
    """Colours of label and error maps that belong to no class."""
    dark, light = map(_hex, HATCHING)
    faded = _hex([FADED[len(FADED) // 2]] * 3)
    return {
        "ignored": _hex(IGNORED_COLOR),
        "right": faded,
        "wrong": _hex(WRONG_COLOR),
        "dark": dark,
        "light": light,
    }


def _hex(color):
    return "#" + bytes(map(int, color)).hex()


def _plot_uri(plot, *values):
    file = io.BytesIO()
    plot(*values, file)
    return data_uri(file.getvalue(), "image/png")


def _samples(samples, table):
    """Yields row and panels of each sample, drawn when the page comes to them."""
    for sample in samples:
        yield sample.row, sample_panels(sample.image, sample.label, sample.prediction, table)
