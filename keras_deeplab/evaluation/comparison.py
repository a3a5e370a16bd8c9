"""Two models, or two protocols, on the same images: what differs, and whether it may be chance."""

import itertools

from keras_deeplab._internal.files import without_nan
from keras_deeplab.evaluation.assessment import LEVEL, Assessment
from keras_deeplab.evaluation.bootstrap import paired_difference
from keras_deeplab.evaluation.predictions import predictions, single_images


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
        Dict that JSON can hold: `first` and `second`, see `Assessment.summary`; `difference`,
        second minus first, see `paired_difference`; the `level` of its intervals, and the number of
        `images`.

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
    first, second = (
        Assessment(table, protocol, model.compute_dtype) for model, protocol in contenders
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
