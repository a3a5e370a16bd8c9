"""What an exported file says of itself: the network, its form, and how well it matches Keras."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab.runtimes.formats import FORMATS
from keras_deeplab.runtimes.predictor import Network
from keras_deeplab.runtimes.tensor_form import NATIVE, TensorForm

KEY = "export"  # in the record of the network


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How the file, run in its own runtime, compares with Keras in float32.

    Args:
        equal_classes: Share of the pixels with the same class, 0 to 1.
        largest_difference: Of logits or probabilities, whichever the file gives.
        pixels: Number of pixels compared.
        image: `"check image"`, or `"noise"` where the model has none.
    """

    equal_classes: float
    largest_difference: float
    pixels: int
    image: str


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """What `export` wrote; `str` gives the lines that the command prints.

    Args:
        path: The file; the folder of a SavedModel; the `.xml` file of OpenVINO.
        format: Name of the format.
        network: `Network`.
        form: `TensorForm`.
        size: Height and width of the images that it takes; `None` where any will do.
        agreement: `Agreement`.
    """

    path: pathlib.Path
    format: str
    network: Network
    form: TensorForm
    size: tuple[int, int] | None
    agreement: Agreement

    @property
    def dynamic(self) -> bool:
        """Whether it takes images of any size."""
        return self.size is None

    @property
    def batch(self) -> int | None:
        """Number of images that it takes at a time; `None` for any."""
        return FORMATS[self.format].batch

    def to_json(self) -> dict[str, typing.Any]:
        """What is known besides the network, as a JSON-serialisable dict."""
        return {
            "format": self.format,
            **dataclasses.asdict(self.form),
            "size": self.size,
            "dynamic": self.dynamic,
            "batch": self.batch,
            "agreement": dataclasses.asdict(self.agreement),
        }

    def to_record(self) -> str:
        """The text that is stored in the file: the record of the network, and `to_json`."""
        return json.dumps({**json.loads(self.network.to_json()), KEY: self.to_json()})

    def __str__(self) -> str:
        size: tuple[typing.Any, typing.Any] = self.size or ("height", "width")
        metadata, low_high = self.network.metadata, self.form.value_range
        images, results = (
            " x ".join(map(str, (self.batch or "N", *self.form.shape(size, last))))
            for last in (self.network.channels, self.network.classes)
        )
        values = "normalised" if low_high is None else "{:g}..{:g}".format(*low_high)
        channels = "" if metadata is None else f", {metadata.channel_names}"
        classes = "" if metadata is None else f" ({', '.join(metadata.classes.names)})"
        checked = self.agreement
        return "\n".join(
            [
                f"{self.path}: {self.network.name}, {FORMATS[self.format].title}",
                f"  input    {images} ({self.form.layout}), float32, {values}{channels}",
                f"  output   {results} {self.form.output}{classes}",
                f"  checked  {checked.equal_classes:.3%} of {checked.pixels:,} pixels have the "
                f"class of Keras ({checked.image}), largest difference "
                f"{checked.largest_difference:.1e}",
            ]
        )


def form_of_record(text: str, *, where: str) -> TensorForm:
    """The form in the record of a file; files in the cache have none, and the form of predictors.

    Raises:
        ValueError: For a form that this version does not know.
    """
    record = json.loads(text).get(KEY)
    if record is None:
        return NATIVE
    try:
        low_high = record["value_range"]
        form = TensorForm(record["layout"], low_high and tuple(low_high), record["output"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{where}: its entry 'keras_deeplab' was not written by this version ({error})."
        ) from error
    form.check(where=where)
    return form
