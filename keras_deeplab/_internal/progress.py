"""Progress of a loop over images."""

import typing
from collections.abc import Iterator

import tqdm


class WithProgress:
    """An iterable of known length that shows a progress bar whenever it is iterated.

    Args:
        items: Iterable with a length, for example a `tf.data.Dataset`.
        unit: What to call an item.
    """

    def __init__(self, items: typing.Any, unit: str = "image"):
        self.items = items
        self.unit = unit

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator:
        return iter(tqdm.tqdm(self.items, total=len(self), unit=self.unit, leave=False))
