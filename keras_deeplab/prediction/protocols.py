"""Prediction protocols: scales, flip and windows as a named record that JSON can store."""

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_deeplab._internal.errors import InputError

PUBLISHED_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # of the reference's test-time augmentation


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Views of an image whose softmax outputs are averaged, and how to predict each of them.

    Args:
        name: Name of the protocol.
        scales: Scale factors of the image; each is a view.
        flip: Whether each view is also predicted mirrored.
        window: `(height, width)` of sliding windows in pixels, or one number for both; the logits
            of overlapping windows are averaged. `None` predicts each view at once.
        stride: `(vertical, horizontal)` step of the windows, or one number; three quarters of the
            window by default.
        test_size: Two lengths in pixels that an image is resized to fit before `scales` apply: its
            longer side into the larger, its shorter side into the smaller, keeping the aspect
            ratio, as mmsegmentation's `Resize` does; smaller images are enlarged. `None` keeps the
            size.

    Raises:
        ValueError: When a value is out of range.
    """

    name: str = "custom"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    test_size: tuple[int, int] | None = None

    if TYPE_CHECKING:  # __post_init__ converts single numbers and lists to the types of the fields

        def __init__(
            self,
            name: str = "custom",
            scales: Sequence[float] = (1.0,),
            flip: bool = False,
            window: int | Sequence[int] | None = None,
            stride: int | Sequence[int] | None = None,
            test_size: int | Sequence[int] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        if not len(self.scales) or min(self.scales) <= 0:
            raise InputError(f"scales must be one or more positive factors, got {self.scales!r}.")
        if self.window is None and self.stride is not None:
            raise InputError(f"stride={self.stride!r} needs a window.")
        self._set("scales", tuple(float(scale) for scale in self.scales))
        for field in ("window", "stride", "test_size"):
            self._set(field, _pair(field, getattr(self, field)))
        if self.window is None:
            return
        stride = self.stride or tuple(max(side * 3 // 4, 1) for side in self.window)
        self._set("stride", stride)
        if any(step > side for step, side in zip(stride, self.window, strict=True)):
            raise InputError(f"stride {stride} must not exceed the window {self.window}.")

    def _set(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)  # the dataclass is frozen

    def view_size(self, height: int, width: int, scale: float) -> tuple[int, int]:
        """Height and width in pixels of the view of an image at one of the scales."""
        if self.test_size is not None:
            longer, shorter = max(self.test_size), min(self.test_size)
            scale *= min(longer / max(height, width), shorter / min(height, width))
        return int(height * scale + 0.5), int(width * scale + 0.5)

    def __str__(self) -> str:
        if self.window is None or self.stride is None:
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

    def to_json(self) -> dict[str, Any]:
        """The protocol as a JSON-serialisable dict that `parse_protocol` reads."""
        return {
            field: list(value) if isinstance(value, tuple) else value
            for field, value in dataclasses.asdict(self).items()
        }


def _pair(field: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    pair: tuple[Any, ...] = (value, value) if isinstance(value, numbers.Integral) else tuple(value)
    whole = all(isinstance(side, numbers.Integral) for side in pair)
    if len(pair) != 2 or not whole or min(pair) < 1:
        raise InputError(f"{field} must be one or two positive integers, got {value!r}.")
    return tuple(int(side) for side in pair)


def _sides(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"


def parse_protocol(record: Mapping[str, Any]) -> Protocol:
    """`Protocol` of the dict that `Protocol.to_json` returns."""
    return Protocol(**{**record, "scales": tuple(record["scales"])})


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("published"),
        Protocol("published_ms_flip", scales=PUBLISHED_SCALES, flip=True),
        Protocol("whole_scene", window=512, stride=384),
    )
}


def get_protocol(name: str, *, test_size: tuple[int, int] | None = None) -> Protocol:
    """A protocol by name.

    Args:
        name: `"published"`, each image at once at one scale; `"published_ms_flip"`, the mean over
            six scales and their mirrored views; both as mmsegmentation tests for its DeepLabV3+
            results table. `"whole_scene"`, a whole scene by sliding windows at its own size.
        test_size: Test scale of the dataset for the two published ones, see `Protocol`.

    Raises:
        ValueError: When `name` is unknown; lists the known names.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}.")
    protocol = PROTOCOLS[name]
    return protocol if protocol.window else dataclasses.replace(protocol, test_size=test_size)


def choose_protocol(
    protocol: str | Protocol | None = None,
    *,
    test_size: tuple[int, int] | None = None,
    **views: Any,
) -> Protocol:
    """The protocol of a function's arguments: one that is given, or one of its parts.

    Args:
        protocol: Name or `Protocol`, which excludes `views`; `None` makes one of `views`.
        test_size: Test size of a named protocol or of `views`.
        **views: `scales`, `flip`, `window` and `stride`.

    Raises:
        ValueError: When both are given, or a value is invalid.
    """
    custom = Protocol(**views)
    if protocol is None:
        return dataclasses.replace(custom, test_size=test_size)
    if custom != Protocol() or (isinstance(protocol, Protocol) and test_size is not None):
        raise InputError(
            "protocol cannot be combined with scales, flip, window or stride; a Protocol object "
            "has its own test_size."
        )
    return get_protocol(protocol, test_size=test_size) if isinstance(protocol, str) else protocol


def named(protocol: Protocol) -> Protocol:
    """The same protocol under its name in `PROTOCOLS`; unchanged when it is not one of them."""
    for name in PROTOCOLS:
        if dataclasses.replace(protocol, name=name) == get_protocol(
            name, test_size=protocol.test_size
        ):
            return dataclasses.replace(protocol, name=name)
    return protocol


def parse_scales(text: str) -> tuple[float, ...]:
    """Scales of a command-line option: factors separated by commas."""
    try:
        return tuple(float(scale) for scale in text.split(","))
    except ValueError:
        raise InputError(f"scales must be numbers separated by commas, got {text!r}.") from None
