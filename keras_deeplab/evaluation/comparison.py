"""Two models, or two protocols, on the same images: what differs, and whether it may be chance."""

import itertools

from keras_deeplab.evaluation.assessment import LEVEL
from keras_deeplab.evaluation.bootstrap import Bootstrap, paired_difference
from keras_deeplab.evaluation.metrics import SegmentationMetrics
from keras_deeplab.evaluation.predictions import named_in_errors, predictions, single_images
from keras_deeplab.files import without_nan


def compare(contenders, dataset, table, *, names=None):
    """Evaluates two models, each under its protocol, in one pass over a dataset.

    The intervals are those of a paired bootstrap: every replicate draws the same images for both,
    so that what makes an image hard or easy for both cancels.

    Args:
        contenders: Two pairs `(model, protocol)`, of models of the same classes.
        dataset: Iterable of `(image, label)`, see `keras_deeplab.evaluate`.
        table: `ClassTable` of both models and of the labels.
        names: Iterable of a name per image, or `None` for numbers.

    Returns:
        Dict that JSON can hold: `first` and `second`, each with its `protocol` and what
        `SegmentationMetrics.result` has; `difference`, see `paired_difference`: second minus first;
        the `level` of its intervals, and the number of `images`.

    Raises:
        ValueError: When an image or its label does not fit; names it.
    """
    names = itertools.repeat(None) if names is None else itertools.tee(names)
    passes = [
        predictions(model, images, protocol, names=their_names)
        for (model, protocol), images, their_names in zip(
            contenders, itertools.tee(single_images(dataset)), names, strict=False
        )
    ]
    sides = [_Side(table, protocol) for _, protocol in contenders]
    for both in zip(*passes, strict=True):
        for side, prediction in zip(sides, both, strict=True):
            side.update(prediction)
    first, second = sides
    return without_nan(
        {
            "images": first.bootstrap.images,
            "level": LEVEL,
            "first": first.result(),
            "second": second.result(),
            "difference": paired_difference(first.bootstrap, second.bootstrap, LEVEL),
        }
    )


class _Side:
    """What is counted of one contender."""

    def __init__(self, table, protocol):
        self.names = list(table.names)
        self.protocol = protocol
        self.metrics = SegmentationMetrics(len(table))
        self.bootstrap = Bootstrap(len(table))

    def update(self, prediction):
        one = SegmentationMetrics(len(self.names))
        with named_in_errors(prediction.name):
            one.update(prediction.label, prediction.views[-1].argmax(-1))
        self.metrics.merge(one)
        self.bootstrap.update(prediction.index, one.confusion)

    def result(self):
        result = self.metrics.result()
        per_class = {"name": self.names, **result.pop("per_class")}
        return {"protocol": self.protocol.to_json(), **result, "per_class": per_class}
