"""Checks of the labels in masks before training."""

import concurrent.futures
import contextlib
from collections.abc import Sequence

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import MOST_LISTED, raise_problems
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.bad_files import BadFiles
from keras_deeplab.data.files.mask_file import MaskFile
from keras_deeplab.data.files.mask_values import suggested_values
from keras_deeplab.data.files.masks import MaskCounts, stored_values
from keras_deeplab.data.files.rasters import UnreadableFileError


def check_labels(masks: Sequence[MaskFile], bad_files: BadFiles | None = None) -> np.ndarray:
    """Decodes every mask, in blocks.

    Args:
        masks: The masks, all of the same classes.
        bad_files: Records the masks that cannot be read; `None` makes them errors.

    Returns:
        `(256,)` int64: how many pixels of all readable masks have each label. Pixels that only the
        image ignores count as what their mask says.

    Raises:
        ValueError: Lists the masks with values outside the classes; or says that nothing but 0 and
            255 is stored.
    """
    counts, stored_ignored, problems = np.zeros(IGNORE_INDEX + 1, np.int64), 0, []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for problem, found in pool.map(lambda mask: _count_labels(mask, bad_files), masks):
            problems.append(problem)
            if found is not None:
                counts += found.labels
                stored_ignored += found.stored_ignored
    wrong = [mask for mask, problem in zip(masks, problems, strict=True) if problem]
    raise_problems(f"Masks do not fit the class table{_advice(wrong)}", problems)
    classes = masks[0].classes.names
    if stored_ignored and counts[0] and not counts[1:IGNORE_INDEX].any() and len(classes) > 1:
        first, second, *_ = classes
        raise InputError(
            f"The masks hold only 0 and {IGNORE_INDEX}, and {IGNORE_INDEX} means ignored. If it is "
            f"a class, say which, for example --mask-values 0={first},{IGNORE_INDEX}={second} "
            f"(mask_values={{0: {first!r}, {IGNORE_INDEX}: {second!r}}}); if not, give "
            f"--mask-values 0={first},{IGNORE_INDEX}=ignore."
        )
    return counts


def _advice(wrong: Sequence[MaskFile]) -> str:
    """How to say what the values of wrong masks mean, where they may be no class indices."""
    if not wrong or wrong[0].classes.palette is not None or wrong[0].values is not None:
        return ""
    found: set[int] = set()
    for mask in wrong[:MOST_LISTED]:
        with contextlib.suppress(UnreadableFileError):
            found |= stored_values(mask.path)
    if not found:
        return ""
    return (
        ". If their values are not class indices, say what they mean, for example --mask-values "
        f"{suggested_values(found, wrong[0].classes)} (in Python mask_values={{...}})"
    )


def _count_labels(
    mask: MaskFile, bad_files: BadFiles | None
) -> tuple[str | None, MaskCounts | None]:
    """What is wrong with a mask, or `None`, and what it holds."""
    try:
        return None, mask.counts()
    except UnreadableFileError as error:
        if bad_files is None:
            return str(error), None
        bad_files.note(error)
        return None, None
    except InputError as error:
        return str(error), None
