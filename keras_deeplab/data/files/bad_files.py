"""Image and mask files that cannot be read: a list of them, and what stands in for their pairs."""

import threading

import numpy as np

from keras_deeplab._internal.problems import listing
from keras_deeplab.data.class_table import IGNORE_INDEX
from keras_deeplab.data.files.rasters import UnreadableFileError

STAND_INS = {
    "next": "the next readable pair took the place of each",
    "ignored": "their pairs were not counted",
}


class BadFiles:
    """Notes files that cannot be read, so that a run need not stop at them.

    Give one to `from_folder` or `from_csv`; its length is the number of files noted so far. Only
    files that are damaged, gone or forbidden are noted. Wrong labels, sizes or bands and missing
    partners are mistakes to mend: they stay errors.

    The dataset keeps its length and order, so that a resumed run goes on exactly where it was, as
    long as the same files are bad.

    Args:
        stand_in: What a dataset yields for a pair with a bad file. `"next"`, for training: the next
            readable pair, or window. `"ignored"`, for validation, where another pair would count
            twice: a black image of the size of the next readable one, its label all 255.
    """

    def __init__(self, stand_in="next"):
        if stand_in not in STAND_INS:
            raise ValueError(f"stand_in must be one of {', '.join(STAND_INS)}, got {stand_in!r}.")
        self.stand_in = stand_in
        self._noted = {}  # path: (reason, tries)
        self._noting = threading.Lock()

    def __len__(self):
        return len(self._noted)

    def note(self, error):
        """Adds the file of an `UnreadableFileError`, or counts it once more."""
        with self._noting:
            _, tries = self._noted.get(error.path, ("", 0))
            self._noted[error.path] = error.reason, tries + 1

    def lines(self):
        """One line for each file in the order of their names: what was wrong, and how often."""
        with self._noting:
            noted = sorted(self._noted.items())
        return [
            f"{path}: {reason}; tried {'once' if tries == 1 else f'{tries} times'}"
            for path, (reason, tries) in noted
        ]

    def report(self):
        """How many files could not be read, what stood in for them, and all their names."""
        lines = self.lines()
        files = "1 file" if len(lines) == 1 else f"{len(lines)} files"
        end = f"; {STAND_INS[self.stand_in]}:" if lines else "."
        return "\n  ".join([f"{files} could not be read{end}", *lines])

    def require_others(self, pairs):
        """Raises a `ValueError` if every one of `(image, mask)` pairs has a noted file."""
        if not any(self._noted.keys().isdisjoint(pair) for pair in pairs):
            raise self._none_left()

    def element(self, load, index, count):
        """Element `index` of a dataset, or what stands in for it.

        Args:
            load: Function from an index to `(image, label)`.
            index: Integer.
            count: Length of the dataset.

        Returns:
            `(image, label)`.

        Raises:
            ValueError: When no element can be read.
        """
        # A noted file is tried again: a window may lie in the sound part of it, and what is
        # yielded must not depend on which thread was there first.
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

    def _none_left(self):
        return ValueError(f"No pair of image and mask can be read:{listing(self.lines())}")
