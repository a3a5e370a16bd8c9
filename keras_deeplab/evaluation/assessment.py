"""All metrics of a model over a labelled dataset, in one pass."""

import os
from collections.abc import Iterable
from typing import Any

from keras_deeplab._internal.files import without_nan
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable
from keras_deeplab.evaluation.bootstrap import Bootstrap
from keras_deeplab.evaluation.boundary import BoundaryMetrics
from keras_deeplab.evaluation.calibration import Calibration
from keras_deeplab.evaluation.image_scores import ImageScores
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.evaluation.predictions import (
    LabelledImages,
    Prediction,
    named_in_errors,
    predictions,
)
from keras_deeplab.evaluation.report.page import write_report
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.runtimes.predictor import Predictor

LEVEL = 0.95  # of the intervals


def assess(
    predictor: Predictor,
    dataset: LabelledImages,
    table: ClassTable,
    protocol: Protocol,
    *,
    names: Iterable[str] | None = None,
) -> "Assessment":
    """Evaluates a model as `keras_deeplab.evaluate` does, and adds the other metrics of a report.

    Args:
        predictor: `Predictor`.
        dataset: Iterable of `(image, label)`, ignored pixels 255, see `keras_deeplab.evaluate`.
        table: Classes of model and labels.
        protocol: How to predict each image.
        names: A name per image, or `None` for numbers.

    Raises:
        ValueError: When an image or its label does not fit the model; names the image.
    """
    assessment = Assessment(table, protocol, predictor.runtime, predictor.precision)
    for prediction in predictions(predictor, dataset, protocol, names=names):
        assessment.update(prediction)
    return assessment


class Assessment:
    """Accumulates all metrics of predictions; memory does not grow with their number.

    Args:
        table: Classes of model and labels.
        protocol: Protocol of the predictions.
        runtime: Name of the runtime that computes the model.
        precision: Name of the precision that it computes in.

    Attributes:
        metrics: `SegmentationMetrics`.
        bootstrap: `Bootstrap`.
        calibration: `Calibration`.
        boundary: `BoundaryMetrics`.
        images: `ImageScores`.
    """

    def __init__(self, table: ClassTable, protocol: Protocol, runtime: str, precision: str) -> None:
        classes = len(table)
        self.table = table
        self.protocol = protocol
        self.runtime = runtime
        self.precision = precision
        self.metrics = SegmentationMetrics(classes)
        self.bootstrap = Bootstrap(classes)
        self.calibration = Calibration()
        self.boundary = BoundaryMetrics(classes)
        self.images = ImageScores(table.names)

    def update(self, prediction: Prediction) -> None:
        """Adds a prediction; raises a `ValueError` with its name when the label does not fit."""
        label, probabilities = prediction.label, prediction.views[-1]
        classes = probabilities.argmax(-1)
        one = SegmentationMetrics(len(self.table), IGNORE_INDEX)
        with named_in_errors(prediction.name):
            one.update(label, classes)  # checks the label
        self.metrics.merge(one)
        self.bootstrap.update(prediction.index, one.confusion)
        self.calibration.update(label, classes, probabilities.max(-1))
        self.boundary.update(label, classes)
        self.images.update(prediction, classes, one)

    def summary(self) -> dict[str, Any]:
        """All metrics as a JSON-serialisable dict; undefined ones are `None`.

        Returns:
            Dict with `protocol`, `runtime`, `precision`, `images`, `classes`, the keys of
            `SegmentationMetrics.result` and `BoundaryMetrics.result`, `ECE`, `calibration` (see
            `Calibration.result`), `intervals` (see `Bootstrap.intervals`, with their `level`), and
            `confusion`.
        """
        result, boundary = self.metrics.result(), self.boundary.result()
        calibration = self.calibration.result()
        per_class = {**result.pop("per_class"), **boundary.pop("per_class")}
        return without_nan(
            {
                "protocol": self.protocol.to_json(),
                "runtime": self.runtime,
                "precision": self.precision,
                "images": self.bootstrap.images,
                "classes": len(self.table),
                **result,
                **boundary,
                "ECE": calibration["ECE"],
                "calibration": calibration,
                "intervals": {"level": LEVEL, **self.bootstrap.intervals(LEVEL)},
                "per_class": {"name": list(self.table.names), **per_class},
                "confusion": self.metrics.confusion.tolist(),
            }
        )

    def write_report(
        self, path: str | os.PathLike[str], *, model: str, dataset: str, command: str
    ) -> None:
        """Writes metrics and pictures as an HTML page, see `report.page.write_report`.

        Args:
            path: The HTML file.
            model: Name of the model.
            dataset: Name of the dataset.
            command: The command that repeats this evaluation.
        """
        best, worst = self.images.samples()
        write_report(
            path,
            title=f"{model} on {dataset}",
            model=model,
            dataset=dataset,
            command=command,
            summary=self.summary(),
            rows=self.images.rows(),
            best=best,
            worst=worst,
            table=self.table,
        )
