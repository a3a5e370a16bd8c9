"""Report of an evaluation as one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from keras_deeplab import __version__
from keras_deeplab._internal.files import atomic_write
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.drawing import IGNORED_COLOR, class_colors
from keras_deeplab.evaluation.report.panels import (
    FADED,
    HATCHING,
    WRONG_COLOR,
    Panel,
    data_uri,
    sample_panels,
)
from keras_deeplab.evaluation.report.plots import plot_confusion, plot_reliability
from keras_deeplab.prediction.protocols import parse_protocol

if TYPE_CHECKING:
    import jinja2

    from keras_deeplab.evaluation.image_scores import Sample

FOLDER = pathlib.Path(__file__).parent  # of template, style sheet and script
DASH = "\N{EN DASH}"
MACRO = {  # metrics that are means over classes
    "mIoU": "Intersection over union of the labelled and the predicted pixels of a class.",
    "mAcc": "Share of the pixels labelled as a class that are predicted as it. Also called recall.",
    "mPrecision": "Share of the pixels predicted as a class that are labelled as it.",
    "mFscore": "Harmonic mean of precision and recall, over labelled classes.",
    "mDice": "Twice the intersection, over the labelled plus the predicted pixels of a class.",
    "mBoundaryIoU": "IoU of the strips along the class boundaries only.",
    "mBoundaryFscore": "F-score of class boundaries that match within a small distance.",
}
MICRO = {  # metrics over all pixels
    "aAcc": "Share of all pixels that are predicted correctly.",
    "microIoU": "Sum of the intersections of all classes over the sum of their unions.",
    "fwIoU": "Frequency weighted IoU: class IoU weighted by labelled pixels.",
    "ECE": "Expected calibration error: mean gap between confidence and accuracy. 0 is best.",
}


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    model: str,
    dataset: str,
    command: str,
    summary: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    best: Iterable[Sample],
    worst: Iterable[Sample],
    table: ClassTable,
) -> None:
    """Writes an evaluation as an HTML page, atomically.

    Pictures, style and script are embedded; a Content-Security-Policy forbids all requests.

    Args:
        path: The HTML file.
        title: Heading of the page.
        model: Name of the model.
        dataset: Name of the dataset.
        command: The command that repeats the evaluation, on one line.
        summary: JSON-serialisable metrics, see `Assessment.summary`: fractions 0..1, `None` where
            undefined; pixel counts; `protocol`, `per_class`, `intervals`, `calibration` and
            `confusion`, the last with labels in rows.
        rows: A dict per image: `index`, `name`, `pixels`, `ignored_pixels`, `aAcc`, `mIoU`,
            `classes_present`, `worst_class`. Read once, one row in memory at a time.
        best: Images with the best scores, the best first.
        worst: Images with the worst scores, the worst first.
        table: Names and colours of the classes.
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
    # File names need not be valid Unicode: undecodable bytes are written as backslash escapes.
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        file.writelines(pieces)


def _template() -> jinja2.Template:
    """The page template. It escapes all values: file and class names are untrusted."""
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


def _fraction(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def _interval(ends: Sequence[float | None] | None) -> str:
    """Both ends of an interval as text, empty when it is undefined."""
    return f"{ends[0]:.4f}{DASH}{ends[1]:.4f}" if _known(ends) else ""


def _known(ends: Sequence[float | None] | None) -> TypeGuard[Sequence[float]]:
    return ends is not None and None not in ends


def _content_policy(style: str, script: str) -> str:
    """A Content-Security-Policy that allows this style and script only, and no requests."""
    hashes = {}
    for kind, text in (("style", style), ("script", script)):
        digest = hashlib.sha256(text.encode("utf-8")).digest()
        hashes[kind] = f"{kind}-src 'sha256-{base64.b64encode(digest).decode('ascii')}'"
    rest = "img-src data:; base-uri 'none'; form-action 'none'"
    return f"default-src 'none'; {hashes['style']}; {hashes['script']}; {rest}"


def _class_rows(summary: Mapping[str, Any], table: ClassTable) -> list[dict[str, Any]]:
    """One dict per class: its metrics, `color`, and `interval` of the IoU or `None`."""
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


def _legend() -> dict[str, str]:
    """Colours of label and error maps other than class colours."""
    dark, light = map(_hex, HATCHING)
    faded = _hex([FADED[len(FADED) // 2]] * 3)
    return {
        "ignored": _hex(IGNORED_COLOR),
        "right": faded,
        "wrong": _hex(WRONG_COLOR),
        "dark": dark,
        "light": light,
    }


def _hex(color: Iterable[int]) -> str:
    return "#" + bytes(map(int, color)).hex()


def _plot_uri(plot: Callable[..., None], *values: Any) -> str:
    file = io.BytesIO()
    plot(*values, file)
    return data_uri(file.getvalue(), "image/png")


def _samples(
    samples: Iterable[Sample], table: ClassTable
) -> Iterator[tuple[dict[str, Any], list[Panel]]]:
    """Yields row and panels of each sample; they are drawn when the page needs them."""
    for sample in samples:
        yield sample.row, sample_panels(sample.image, sample.label, sample.prediction, table)
