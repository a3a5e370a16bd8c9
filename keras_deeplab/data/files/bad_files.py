"""Recording unreadable image and mask files and replacing their pairs."""

import threading
from collections.abc import Callable, Iterable

import numpy as np

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import listing
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.rasters import UnreadableFileError

STAND_INS = {
    "next": "the next readable pair took the place of each",
    "ignored": "their pairs were not counted",
}


class BadFiles:
    """Records files that cannot be read, so that a run does not stop at them.

    Pass one to `from_folder` or `from_csv`. Its length is the number of files recorded so far. Only
    damaged, deleted or inaccessible files are recorded. Wrong labels, sizes or bands and missing
    partners are mistakes in the dataset: they stay errors.

    The dataset keeps its length and order, so that a resumed run continues exactly where it
    stopped, as long as the same files are unreadable.

    Args:
        stand_in: What a dataset yields for a pair with an unreadable file. `"next"`, for training:
            the next readable pair, or window. `"ignored"`, for validation, where another pair would
            count twice: a black image of the size of the next readable one, its label all 255.
    """

    def __init__(self, stand_in: str = "next") -> None:
        if stand_in not in STAND_INS:
            raise InputError(f"stand_in must be one of {', '.join(STAND_INS)}, got {stand_in!r}.")
        self.stand_in = stand_in
        self._recorded: dict[str, tuple[str, int]] = {}  # path: (reason, tries)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._recorded)

    def note(self, error: UnreadableFileError) -> None:
        """Records the file of an error, or counts it once more."""
        with self._lock:
            _, tries = self._recorded.get(error.path, ("", 0))
            self._recorded[error.path] = error.reason, tries + 1

    def lines(self) -> list[str]:
        """One line per file, sorted by path: what was wrong, and how often."""
        with self._lock:
            recorded = sorted(self._recorded.items())
        return [
            f"{path}: {reason}; tried {'once' if tries == 1 else f'{tries} times'}"
            for path, (reason, tries) in recorded
        ]

    def report(self) -> str:
        """Number of unreadable files, how they were replaced, and one line for each."""
        lines = self.lines()
        files = "1 file" if len(lines) == 1 else f"{len(lines)} files"
        end = f"; {STAND_INS[self.stand_in]}:" if lines else "."
        return "\n  ".join([f"{files} could not be read{end}", *lines])

    def require_others(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Raises a `ValueError` if every `(image, mask)` pair has a recorded file."""
        if not any(self._recorded.keys().isdisjoint(pair) for pair in pairs):
            raise self._none_left()

    def element(
        self, load: Callable[[int], tuple[np.ndarray, np.ndarray]], index: int, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Loads element `index` of a dataset, or a replacement.

        Args:
            load: Function from an index to `(image, label)`.
            index: Index of the element.
            count: Length of the dataset.

        Returns:
            `(image, label)`.

        Raises:
            ValueError: When no element can be read.
        """
        # A recorded file is tried again: a window may be in an undamaged part of it, and the result
        # must not depend on which thread was first.
        for number in range(index, index + count):
            try:
                image, label = load(number % count)
            except UnreadableFileError as error:
                self.note(error)
                continue
            if number != index and self.stand_in == "ignored":
                return np.zeros_like(image), np.full_like(label, IGNORE_INDEX)
            return image, label
        raise self._none_left()

    def _none_left(self) -> InputError:
        return InputError(f"No pair of image and mask can be read:{listing(self.lines())}")
