"""What the networks expect of their input: size and statistics. Needs no Keras."""

from keras_deeplab._internal.errors import InputError

MEAN = (123.675, 116.28, 103.53)  # ImageNet statistics of RGB 0..255, as in the reference
STD = (58.395, 57.12, 57.375)
MIN_SIZE = 32  # pixels; below it the features of a stride-32 backbone would be empty


def input_statistics(
    channels: int, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each input channel, on the scale 0..255.

    The first three of three or more channels have those of RGB. Nothing is known of further
    channels, or of fewer than three: each of those has the average of the three.

    Args:
        channels: Number of input channels.
        mean: Mean of RGB.
        std: Standard deviation of RGB.
    """

    def extended(values: tuple[float, ...]) -> tuple[float, ...]:
        average = sum(values) / len(values)
        known = values if channels >= len(values) else ()
        return (*known, *[average] * (channels - len(known)))

    return extended(mean), extended(std)


def check_image_size(height: int | None, width: int | None) -> None:
    """Raises a `ValueError` when a known side is below 32 pixels."""
    for side, size in (("height", height), ("width", width)):
        if size is not None and size < MIN_SIZE:
            raise InputError(
                f"Image {side} is {size} pixels; DeepLabV3+ needs at least {MIN_SIZE}. "
                "Pad or enlarge the image first."
            )


def check_fixed_size(
    name: str, fixed: tuple[int | None, int | None], size: tuple[int, int]
) -> None:
    """Raises a `ValueError` when an image has another size than the one that a model takes.

    Args:
        name: What to call the model.
        fixed: Height and width of its images; `None` where any will do.
        size: `(height, width)` of the image.
    """
    for side, only, asked in zip(("height", "width"), fixed, size, strict=True):
        if only not in (None, asked):
            raise InputError(f"{name} takes only images of {side} {only}, got {asked}.")
