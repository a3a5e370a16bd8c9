"""Limit of the memory for reading a file, in proportion to its size."""

from keras_deeplab.checkpoints.errors import CheckpointError

# Deflated zeros unpack to a thousand times their size, an expanded tensor to any size. Trained
# weights compress by a small factor only.
GROWTH = 16
FLOOR = 2**20  # small files may be very repetitive


class MemoryBudget:
    """Bytes that may still be allocated for one file.

    Args:
        file_size: Size of the file in bytes.
    """

    def __init__(self, file_size: int) -> None:
        self.limit = FLOOR + GROWTH * file_size
        self._left = self.limit

    def spend(self, size: int, what: str) -> None:
        """Reserves `size` bytes for `what`; call it before allocating.

        Raises:
            CheckpointError: When the file needs more than the limit.
        """
        self._left -= size
        if self._left < 0:
            raise CheckpointError(
                f"{what} needs {size} bytes, and the total exceeds {self.limit} bytes, the limit "
                "for a file of this size. The file is damaged or crafted to exhaust memory."
            )
