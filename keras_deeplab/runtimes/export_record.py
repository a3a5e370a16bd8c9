"""What an exported file says of itself: the network, its form, and how well it matches Keras."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing

from keras_deeplab._internal.errors import InputError
from keras_deeplab.runtimes.formats import FORMATS
from keras_deeplab.runtimes.predictor import Network
from keras_deeplab.runtimes.registry import INT8
from keras_deeplab.runtimes.tensor_form import NATIVE, TensorForm

KEY = "export"  # in the record of the network


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How the file, run in its own runtime, compares with the model in float32.

    Args:
        equal_classes: Share of the pixels with the same class, 0 to 1.
        largest_difference: Of logits or probabilities, whichever the file gives.
        pixels: Number of pixels compared.
        image: `"check image"`, or `"noise"` where the model has none; `"calibration crops"` of an
            int8 file.
    """

    equal_classes: float
    largest_difference: float
    pixels: int
    image: str


@dataclasses.dataclass(frozen=True)
class Quantization:
    """How a file was quantised to int8, and its score before and after.

    Args:
        calibration: What the calibration crops are of.
        crops: Number of calibration crops.
        nncf: Version of NNCF.
        float32: Score of the float32 model, 0..1; `None` where nothing was scored.
        int8: Score of the int8 file.
    """

    calibration: str
    crops: int
    nncf: str
    float32: float | None = None
    int8: float | None = None

    @property
    def loss(self) -> float:
        """How much lower the score of int8 is; 0 where nothing was scored."""
        return 0.0 if self.float32 is None or self.int8 is None else self.float32 - self.int8


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
        quantization: `Quantization` of an int8 file; `None` in float32.
    """

    path: pathlib.Path
    format: str
    network: Network
    form: TensorForm
    size: tuple[int, int] | None
    agreement: Agreement
    quantization: Quantization | None = None

    @property
    def precision(self) -> str:
        """`"float32"` or `"int8"`."""
        return "float32" if self.quantization is None else INT8

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
        quantization = self.quantization and dataclasses.asdict(self.quantization)
        return {
            "format": self.format,
            "precision": self.precision,
            **dataclasses.asdict(self.form),
            "size": self.size,
            "dynamic": self.dynamic,
            "batch": self.batch,
            "agreement": dataclasses.asdict(self.agreement),
            **({} if quantization is None else {"quantization": quantization}),
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
        checked, reference = self.agreement, "Keras"
        title = FORMATS[self.format].title
        if self.quantization is not None:
            reference, title = "float32", f"{title}, {INT8}"
        return "\n".join(
            [
                f"{self.path}: {self.network.name}, {title}",
                f"  input    {images} ({self.form.layout}), float32, {values}{channels}",
                f"  output   {results} {self.form.output}{classes}",
                f"  checked  {checked.equal_classes:.3%} of {checked.pixels:,} pixels have the "
                f"class of {reference} ({checked.image}), largest difference "
                f"{checked.largest_difference:.1e}",
            ]
        )


def export_of_record(text: str | None) -> dict[str, typing.Any] | None:
    """`ExportedFile.to_json` in the record of a file; `None` where there is none."""
    try:
        return json.loads(text or "{}").get(KEY)
    except (json.JSONDecodeError, AttributeError):  # of another tool; readers say so
        return None


def form_of_record(text: str, *, where: str) -> TensorForm:
    """The form in the record of a file; files in the cache have none, and the form of predictors.

    Raises:
        ValueError: For a form that this version does not know.
    """
    record = export_of_record(text)
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
