"""Where the tiles of an image lie when it is cut by a fixed step."""


def positions(length, size, step):
    """Starts of tiles along one axis; the last is moved back so that it ends with the image.

    Args:
        length: Pixels of the image along the axis.
        size: Pixels of a tile.
        step: Pixels from one start to the next.

    Returns:
        Rising list of integers; `[0]` where the image is no longer than a tile.
    """
    if not 0 < step <= size:
        raise ValueError(f"Tiles of {size} pixels need a step of 1 to {size}, got {step}.")
    last = max(length - size, 0)
    return [*range(0, last, step), last]


def count_tiles(height, width, size, step):
    """Number of tiles of one image."""
    return len(positions(height, size, step)) * len(positions(width, size, step))
