"""How much memory reading a file may take, in proportion to the file."""

from keras_deeplab.checkpoints.errors import CheckpointError

# Deflated zeros unpack to a thousand times their size and an expanded tensor to any size at all;
# trained weights do not shrink by more than a few times.
GROWTH = 16
FLOOR = 2**20  # tiny files may be mostly repetition


class MemoryBudget:
    """Bytes that may still be allocated for one file.

    Args:
        file_size: Size of the file in bytes.
    """

    def __init__(self, file_size):
        self.limit = FLOOR + GROWTH * file_size
        self._left = self.limit

    def spend(self, size, what):
        """Takes `size` bytes for `what`, before they are allocated.

        Raises:
            CheckpointError: When the file asks for more than it is allowed.
        """
        self._left -= size
        if self._left < 0:
            raise CheckpointError(
                f"{what} would take {size} bytes, which brings the total over the {self.limit} "
                "bytes that a file of this size may take. It is damaged or made to exhaust memory."
            )
