"""Everything that is measured of a model over a labelled dataset, in one pass."""

from keras_deeplab._internal.files import without_nan
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.evaluation.bootstrap import Bootstrap
from keras_deeplab.evaluation.boundary import BoundaryMetrics
from keras_deeplab.evaluation.calibration import Calibration
from keras_deeplab.evaluation.image_scores import ImageScores
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.evaluation.predictions import named_in_errors, predictions
from keras_deeplab.evaluation.report.page import write_report

LEVEL = 0.95  # of the intervals


def assess(model, dataset, table, protocol, *, names=None):
    """Evaluates a model as `keras_deeplab.evaluate` does, and measures what else a report tells.

    Args:
        model: Model of logits, see `keras_deeplab.predict`.
        dataset: Iterable of `(image, label)`, ignored pixels 255, see `keras_deeplab.evaluate`.
        table: `ClassTable` of model and labels.
        protocol: `Protocol`.
        names: Iterable of a name per image, or `None` for numbers.

    Returns:
        `Assessment`.

    Raises:
        ValueError: When an image or its label does not fit; names it.
    """
    assessment = Assessment(table, protocol, model.compute_dtype)
    for prediction in predictions(model, dataset, protocol, names=names):
        assessment.update(prediction)
    return assessment


class Assessment:
    """Collects what is measured of each prediction; memory does not grow with their number.

    Args:
        table: `ClassTable`.
        protocol: `Protocol` of the predictions.
        precision: Name of the dtype that the model computes in.

    Attributes:
        metrics: `SegmentationMetrics`.
        bootstrap: `Bootstrap`.
        calibration: `Calibration`.
        boundary: `BoundaryMetrics`.
        images: `ImageScores`.
    """

    def __init__(self, table, protocol, precision):
        classes = len(table)
        self.table = table
        self.protocol = protocol
        self.precision = precision
        self.metrics = SegmentationMetrics(classes)
        self.bootstrap = Bootstrap(classes)
        self.calibration = Calibration()
        self.boundary = BoundaryMetrics(classes)
        self.images = ImageScores(table.names)

    def update(self, prediction):
        """Adds a `Prediction`; a `ValueError` of its label names it."""
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

    def summary(self):
        """All numbers as a dict that JSON can hold; undefined ones are `None`.

        Returns:
            Dict of `protocol`, `precision`, `images`, `classes`, what `SegmentationMetrics.result`
            and `BoundaryMetrics.result` have, `ECE`, `calibration` (see `Calibration.result`),
            `intervals` (see `Bootstrap.intervals`, and their `level`), and `confusion`.
        """
        result, boundary = self.metrics.result(), self.boundary.result()
        calibration = self.calibration.result()
        per_class = {**result.pop("per_class"), **boundary.pop("per_class")}
        return without_nan(
            {
                "protocol": self.protocol.to_json(),
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

    def write_report(self, path, *, model, dataset, command):
        """Writes the numbers and pictures as a page for the browser, see `write_report`.

        Args:
            path: The HTML file.
            model: What the model is called.
            dataset: What the images are called.
            command: The command that measures this again.
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
