"""How the class probabilities of an image come about, as a record that can be named and stored."""

import dataclasses
import numbers

PUBLISHED_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # of the reference's test-time augmentation


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Views of an image whose softmax is averaged, and how each of them is predicted.

    Args:
        name: What to call it.
        scales: Factors on the size of the image; each is a view.
        flip: Whether each view is predicted mirrored too.
        window: `(height, width)` of overlapping windows in pixels, or one number for both; the
            logits of windows are averaged. `None` predicts each view at once.
        stride: `(vertical, horizontal)` step of the windows, or one number; three quarters of the
            window by default.
        test_size: Two lengths in pixels that an image is fitted into before `scales` apply: its
            longer side into the greater, its shorter into the lesser, keeping their ratio, as
            mmsegmentation's `Resize` does; smaller images grow. `None` keeps the size.

    Raises:
        ValueError: When a value is out of range.
    """

    name: str = "custom"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    test_size: tuple[int, int] | None = None

    def __post_init__(self):
        if not len(self.scales) or min(self.scales) <= 0:
            raise ValueError(f"scales must hold one or more positive factors, got {self.scales!r}.")
        if self.window is None and self.stride is not None:
            raise ValueError(f"stride={self.stride!r} needs a window.")
        self._set("scales", tuple(float(scale) for scale in self.scales))
        for field in ("window", "stride", "test_size"):
            self._set(field, _pair(field, getattr(self, field)))
        if self.window is None:
            return
        if self.stride is None:
            self._set("stride", tuple(max(side * 3 // 4, 1) for side in self.window))
        if any(step > side for step, side in zip(self.stride, self.window, strict=True)):
            raise ValueError(f"stride {self.stride} must not exceed the window {self.window}.")

    def _set(self, field, value):
        object.__setattr__(self, field, value)  # the record is frozen for all others

    def view_size(self, height, width, scale):
        """Height and width in pixels of the view of an image at one of the scales."""
        if self.test_size is not None:
            longer, shorter = max(self.test_size), min(self.test_size)
            scale *= min(longer / max(height, width), shorter / min(height, width))
        return int(height * scale + 0.5), int(width * scale + 0.5)

    def __str__(self):
        if self.window is None:
            words = "Each image is predicted whole"
        else:
            words = (
                f"Each image is predicted by windows of {_sides(self.window)} pixels every "
                f"{_sides(self.stride)}"
            )
        if self.test_size is not None:
            words += f", resized to fit {_sides(self.test_size)}"
        factors = ", ".join(f"{scale:g}" for scale in self.scales)
        words += f", at scale {factors}" if len(self.scales) == 1 else f", at scales {factors}"
        return f"{words}{', also mirrored' if self.flip else ''}."

    def to_json(self):
        """The record as a dict that JSON can hold and `parse_protocol` reads."""
        return {
            field: list(value) if isinstance(value, tuple) else value
            for field, value in dataclasses.asdict(self).items()
        }


def _pair(field, value):
    if value is None:
        return None
    pair = (value, value) if isinstance(value, numbers.Integral) else tuple(value)
    if len(pair) != 2 or not all(isinstance(side, numbers.Integral) and side > 0 for side in pair):
        raise ValueError(f"{field} takes one or two positive whole numbers, got {value!r}.")
    return tuple(int(side) for side in pair)


def _sides(pair):
    return f"{pair[0]} x {pair[1]}"


def parse_protocol(record):
    """`Protocol` of the dict that `Protocol.to_json` makes."""
    return Protocol(**{**record, "scales": tuple(record["scales"])})


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("published"),
        Protocol("published_ms_flip", scales=PUBLISHED_SCALES, flip=True),
        Protocol("whole_scene", window=512, stride=384),
    )
}


def get_protocol(name, *, test_size=None):
    """A protocol by name.

    Args:
        name: `"published"`, each image at once at one scale; `"published_ms_flip"`, the mean over
            six scales and their mirrored views; both as mmsegmentation tests for its table of
            DeepLabV3+. `"whole_scene"`, an undivided scene by overlapping windows at its own size.
        test_size: Test scale of the data set for the two published ones, see `Protocol`.

    Raises:
        ValueError: Lists the names when `name` is none of them.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}.")
    protocol = PROTOCOLS[name]
    return protocol if protocol.window else dataclasses.replace(protocol, test_size=test_size)


def named(protocol):
    """The same protocol under its name in `PROTOCOLS`, if it is one of those."""
    for name in PROTOCOLS:
        if dataclasses.replace(protocol, name=name) == get_protocol(
            name, test_size=protocol.test_size
        ):
            return dataclasses.replace(protocol, name=name)
    return protocol


def parse_scales(text):
    """Scales of a command-line option: factors separated by commas."""
    try:
        return tuple(float(scale) for scale in text.split(","))
    except ValueError:
        raise ValueError(f"scales must be numbers separated by commas, got {text!r}.") from None
