"""Comparison of two models or protocols on the same images, with paired intervals."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from keras_deeplab._internal.files import without_nan
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.evaluation.assessment import LEVEL, Assessment
from keras_deeplab.evaluation.bootstrap import paired_difference
from keras_deeplab.evaluation.predictions import LabelledImages, predictions, single_images
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.runtimes.predictor import Predictor


def compare(
    contenders: Sequence[tuple[Predictor, Protocol]],
    dataset: LabelledImages,
    table: ClassTable,
    *,
    names: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Evaluates two models, each under its protocol, in one pass over a dataset.

    The intervals come from a paired bootstrap: every replicate samples the same images for both, so
    that the difficulty that an image has for both cancels out.

    Args:
        contenders: Two pairs `(predictor, protocol)`, of models with the same classes.
        dataset: Iterable of `(image, label)`, see `keras_deeplab.evaluate`.
        table: Classes of both models and of the labels.
        names: A name per image, or `None` for numbers.

    Returns:
        JSON-serialisable dict: `first` and `second`, see `Assessment.summary`; `difference`, second
        minus first, see `paired_difference`; the `level` of its intervals, and the number of
        `images`.

    Raises:
        ValueError: When an image or its label does not fit the models; names the image.
    """
    copies = (None, None) if names is None else itertools.tee(names)
    passes = [
        predictions(predictor, images, protocol, names=their_names)
        for (predictor, protocol), images, their_names in zip(
            contenders, itertools.tee(single_images(dataset)), copies, strict=True
        )
    ]
    first, second = (
        Assessment(table, protocol, predictor.runtime, predictor.precision)
        for predictor, protocol in contenders
    )
    for one, other in zip(*passes, strict=True):
        first.update(one)
        second.update(other)
    return without_nan(
        {
            "images": first.bootstrap.images,
            "level": LEVEL,
            "first": first.summary(),
            "second": second.summary(),
            "difference": paired_difference(first.bootstrap, second.bootstrap, LEVEL),
        }
    )
