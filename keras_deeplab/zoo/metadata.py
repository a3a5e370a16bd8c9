"""What a model knows of itself: one record, on the model, in its files and in the zoo."""

from __future__ import annotations

import dataclasses
import html
import typing
from collections.abc import Mapping

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.class_table import IGNORE_INDEX, ClassTable, parse_class_table
from keras_deeplab.data.drawing import class_colors
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.models.inputs import input_statistics
from keras_deeplab.models.variants import get_backbone

RGB = ("red", "green", "blue")
SHORT = {"red": "R", "green": "G", "blue": "B", "nir": "IR"}


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """Everything needed to use a model: `model.metadata`.

    `load` and `build` set it, `train` writes it to the run folder, and `.keras` files keep it.

    Args:
        variant: Name of the network, see `list_variants`.
        classes: `ClassTable`: names and colours.
        name: Zoo name, or `None`.
        channels: Meaning of each input channel, for example `("nir", "red", "green")`; `None`
            where it is unknown.
        bands: Bands of image files in channel order, counted from 1; `None` for files that hold
            just the channels.
        value_range: Stored values of image files that map to 0 and 255; `None` for 8-bit files.
        mean: Mean per channel that the model subtracts, on the scale 0..255; `None` for a model
            without preprocessing.
        std: Standard deviation per channel that the model divides by; `None` as for `mean`.
        resolution_m: Ground resolution of the training images in metres per pixel; `None` where
            unknown.
        tile_size: Side of the training crops in pixels; `None` where unknown.
        licence: Licence of the weights; `None` where unknown.
        output_stride: Output stride, where it is not the variant's.
        multi_grid: Dilations of the last stage, where they are not the variant's.
    """

    variant: str
    classes: ClassTable
    name: str | None = None
    channels: tuple[str, ...] | None = RGB
    bands: tuple[int, ...] | None = None
    value_range: tuple[float, float] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resolution_m: float | None = None
    tile_size: int | None = None
    licence: str | None = None
    output_stride: int | None = None
    multi_grid: tuple[int, ...] | None = None

    @property
    def form(self) -> ImageFormat:
        """`ImageFormat` of the files that the model takes."""
        return ImageFormat(self.bands, self.value_range)

    @property
    def num_channels(self) -> int:
        """Number of input channels."""
        return len(self.bands or self.channels or self.mean or RGB)

    @property
    def channel_names(self) -> str:
        """The input channels as text: `RGB`, `IR-R-G`, or `4 channels` where unknown."""
        if self.channels is None:
            return f"{self.num_channels} channels"
        if self.channels == RGB:
            return "RGB"
        return "-".join(SHORT.get(channel, channel) for channel in self.channels)

    def to_json(self) -> dict[str, typing.Any]:
        """The record as a JSON-serialisable dict, with the keys of the zoo's manifest."""
        network = {"output_stride": self.output_stride, "multi_grid": _plain(self.multi_grid)}
        return {
            "name": self.name,
            "variant": self.variant,
            **{key: value for key, value in network.items() if value is not None},
            **self.classes.to_json(),
            "input": {
                "channels": _plain(self.channels),
                "bands": _plain(self.bands),
                "value_range": _plain(self.value_range),
                "mean": _plain(self.mean),
                "std": _plain(self.std),
            },
            "resolution_m": self.resolution_m,
            "crop": self.tile_size,
            "licence": self.licence,
        }

    @classmethod
    def from_json(
        cls, record: Mapping[str, typing.Any], *, where: str = "metadata"
    ) -> ModelMetadata:
        """The record of a dict as `to_json` makes it; a `ValueError` for another.

        Args:
            record: The dict; a run record or a zoo entry has further keys, which are ignored.
            where: What to call it in an error, usually its file.
        """
        try:
            inputs = {key: _tuple(value) for key, value in record["input"].items()}
            return cls(
                variant=record["variant"],
                classes=parse_class_table(record, where=where),
                name=record.get("name"),
                **inputs,
                resolution_m=record["resolution_m"],
                tile_size=record["crop"],
                licence=record.get("licence"),
                output_stride=record.get("output_stride"),
                multi_grid=_tuple(record.get("multi_grid")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{where}: expected the metadata of a model, as run.json holds it "
                f"({type(error).__name__}: {error})."
            ) from error

    def get_config(self) -> dict[str, typing.Any]:
        """The record for the configuration of a Keras model."""
        return {"record": self.to_json()}

    @classmethod
    def from_config(cls, config: Mapping[str, typing.Any]) -> ModelMetadata:
        """The record of `get_config`."""
        return cls.from_json(config["record"], where="model configuration")

    def with_classes(self, classes: ClassTable) -> ModelMetadata:
        """The record of the same network for other classes, under no zoo name."""
        return dataclasses.replace(self, classes=classes, name=None, licence=None)

    def rows(self) -> dict[str, str]:
        """Title to text of what is not a class, for people."""
        unknown = "unknown"
        low, high = self.value_range or (0, 255)
        return {
            "network": self.variant,
            "channels": self.channel_names,
            "bands of a file": ", ".join(map(str, self.bands)) if self.bands else "all, in order",
            "value range": f"{low:g} to {high:g}",
            "normalisation": "inside the model" if self.mean else "none: takes normalised images",
            "ground resolution": f"{self.resolution_m:g} m" if self.resolution_m else unknown,
            "tile size": f"{self.tile_size} pixels" if self.tile_size else unknown,
            "licence of the weights": self.licence or unknown,
        }

    def _repr_html_(self) -> str:
        """The record in a notebook: a table of facts, and the classes with their colours."""
        facts = "".join(
            f"<tr><td>{html.escape(title)}</td><td>{html.escape(text)}</td></tr>"
            for title, text in self.rows().items()
        )
        square = "display:inline-block;width:1em;height:1em;border:1px solid gray;background:"
        classes = "".join(
            f'<tr><td><span style="{square}#{bytes(color).hex()}"></span></td>'
            f"<td>{index}</td><td>{html.escape(name)}</td></tr>"
            for index, (name, color) in enumerate(
                zip(self.classes.names, class_colors(self.classes).tolist(), strict=True)
            )
        )
        title = html.escape(self.name or self.variant)
        return f"<b>{title}</b><table>{facts}</table><table>{classes}</table>"


def describe_build(
    variant: str,
    num_classes: int,
    *,
    channels: int,
    include_preprocessing: bool,
    output_stride: int | None,
    multi_grid: tuple[int, ...] | None,
) -> ModelMetadata | None:
    """Metadata of an untrained model, with numbered classes; `None` for more than 255 of them."""
    if num_classes > IGNORE_INDEX:
        return None
    mean = std = None
    if include_preprocessing:
        backbone = get_backbone(variant)
        mean, std = input_statistics(channels, backbone.mean, backbone.std)
    return ModelMetadata(
        variant=variant,
        classes=ClassTable(tuple(f"class_{index}" for index in range(num_classes))),
        channels=RGB if channels == len(RGB) else None,
        bands=None if channels == len(RGB) else tuple(range(1, channels + 1)),
        mean=mean,
        std=std,
        output_stride=output_stride,
        multi_grid=multi_grid,
    )


def _plain(value: tuple | None) -> list | None:
    return None if value is None else list(value)


def _tuple(value: list | None) -> tuple | None:
    return None if value is None else tuple(value)
