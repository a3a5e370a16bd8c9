"""Setting the variables of a model from the arrays of a file: strictly, all of them or none.

Both kinds of files come here: those of Keras and those of PyTorch differ in their names and in the
layout of kernels, but not in what has to fit.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_deeplab.checkpoints.channels import (
    CHANNEL_AXIS,
    FIRST_CONVOLUTIONS,
    adapt_channels,
    differs_only,
    is_adaptable,
)
from keras_deeplab.checkpoints.errors import CheckpointError

BACKBONE = "backbone"
AUXILIARY_HEAD = "auxiliary_head"
CLASSIFIERS = ("decode_head.conv_seg", "auxiliary_head.conv_seg")
CLASS_AXIS = -1  # of kernel and bias of a classifier
MOST_NAMES = 8  # that an error lists

Axes = tuple[int, ...] | None  # transposes an array of a file to Keras layout


class Target(NamedTuple):
    """A variable that a file has to fill.

    Attributes:
        layer: Reference name of its layer, such as `"decode_head.conv_seg"`.
        variable: The Keras variable.
        axes: `array.transpose(axes)` converts the array of the file to the layout of the variable.
    """

    layer: str
    variable: keras.Variable
    axes: Axes = None

    def in_keras_layout(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Shape of an array of the file after `transpose`; unchanged when it has other axes."""
        if self.axes is None or len(shape) != len(self.axes):
            return tuple(shape)
        return tuple(shape[axis] for axis in self.axes)

    def shape_in_file(self) -> tuple[int, ...]:
        """Shape that the array of the file should have."""
        shape = tuple(self.variable.shape)
        return shape if self.axes is None else tuple(shape[axis] for axis in np.argsort(self.axes))

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether an array of the file with this shape can be used, adapted if need be."""
        found, expected = self.in_keras_layout(shape), tuple(self.variable.shape)
        return found == expected or (
            self.layer in FIRST_CONVOLUTIONS and is_adaptable(found, expected)
        )

    def value(self, stored: Any) -> np.ndarray:
        """The array to assign."""
        dtype = np.float64 if self.variable.dtype == "float64" else np.float32
        with np.errstate(over="ignore"):  # too large for float32: an error later on
            array = stored[...].astype(dtype, copy=False)  # `[...]` reads an HDF5 dataset
        if self.axes is not None:
            array = array.transpose(self.axes)
        if self.layer in FIRST_CONVOLUTIONS:
            array = adapt_channels(array, self.variable.shape[CHANNEL_AXIS])
        return array


@dataclasses.dataclass(frozen=True)
class Match:
    """Variables of a model and the arrays of a file, both by the names that the file uses.

    Attributes:
        source: What contains the arrays, for messages: a path, or "The state dict".
        model: What has the variables, for messages: "model 'r50_d8'".
        targets: Variables by name.
        arrays: NumPy arrays or HDF5 datasets by name, without those that are ignored.
        absent: Parts of the model that this kind of file never has, with what it has instead:
            `{"decode_head": "only a backbone"}`.
    """

    source: str
    model: str
    targets: Mapping[str, Target]
    arrays: Mapping[str, Any]
    absent: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def of_backbone(self) -> "Match":
        """The same match for a file of a backbone alone: both heads of the model are absent."""
        heads = {
            target.layer.partition(".")[0]: "only a backbone"
            for target in self.targets.values()
            if not is_in(target.layer, [BACKBONE])
        }
        return dataclasses.replace(
            self.without(heads), model=f"the backbone of {self.model}", absent=heads
        )

    def assign(self) -> None:
        """Sets every variable exactly once.

        Raises:
            CheckpointError: When names are missing or unexpected, shapes differ, or an array
                contains NaN or infinity; lists the names. No variable is set then.
        """
        self._check_names_and_shapes()
        try:
            values = {
                name: target.value(self.arrays[name]) for name, target in self.targets.items()
            }
        except OSError as error:
            raise CheckpointError(f"{self.source} is damaged: {error}.") from error
        bad = [name for name, value in values.items() if not np.isfinite(value).all()]
        if bad:
            raise CheckpointError(
                f"{self.source} contains NaN or infinity in {len(bad)} of {len(values)} arrays: "
                f"{listed(bad)}. Use a checkpoint from before the training diverged."
            )
        for name, target in self.targets.items():
            target.variable.assign(values[name])

    def _check_names_and_shapes(self) -> None:
        mismatches = {
            "missing": [name for name in self.targets if name not in self.arrays],
            "unexpected": [name for name in self.arrays if name not in self.targets],
            "of the wrong shape": [
                f"{name} {self.arrays[name].shape}, expected {target.shape_in_file()}"
                for name, target in self.targets.items()
                if name in self.arrays and not target.fits(self.arrays[name].shape)
            ],
        }
        parts = [
            f"{len(names)} {what}: {listed(names)}" for what, names in mismatches.items() if names
        ]
        if parts:
            raise CheckpointError(f"{self.source} does not match {self.model}: {'; '.join(parts)}.")

    def fresh_parts(self) -> dict[str, str]:
        """Parts of the model that may start fresh because the file cannot fill them.

        Returns:
            Reference names of layers or heads, with what the file has instead: classifiers of
            another number of classes, an auxiliary head that the file lacks, and a first
            convolution whose input channels cannot be adapted.
        """
        parts = dict(self.absent)
        for layer in CLASSIFIERS:
            parts |= self._other_size(layer, CLASS_AXIS, "classes")
        for layer in FIRST_CONVOLUTIONS:
            parts |= self._other_size(layer, CHANNEL_AXIS, "input channels")
        auxiliary = [name for name, x in self.targets.items() if is_in(x.layer, [AUXILIARY_HEAD])]
        if auxiliary and not any(name in self.arrays for name in auxiliary):
            parts[AUXILIARY_HEAD] = "no auxiliary head"
        return parts

    def _other_size(self, layer: str, axis: int, what: str) -> dict[str, str]:
        """The layer, if none of its arrays fits, but only because of one axis."""
        reason = {}
        for name, target in self.targets.items():
            if target.layer != layer:
                continue
            if name not in self.arrays:
                return {}
            shape, expected = self.arrays[name].shape, tuple(target.variable.shape)
            found = target.in_keras_layout(shape)
            if target.fits(shape) or not differs_only(found, expected, axis):
                return {}
            reason = {layer: f"{found[axis]} {what}, the model {expected[axis]}"}
        return reason

    def without(self, parts: Iterable[str]) -> "Match":
        """The same match without some layers or heads, on both sides."""
        parts = list(parts)
        left_out = {name for name, target in self.targets.items() if is_in(target.layer, parts)}
        return dataclasses.replace(
            self,
            targets={name: x for name, x in self.targets.items() if name not in left_out},
            arrays={name: x for name, x in self.arrays.items() if name not in left_out},
        )


def is_in(layer: str, parts: Iterable[str]) -> bool:
    """Whether a layer is one of the parts of a model or within one, by reference names."""
    return any(layer == part or layer.startswith(f"{part}.") for part in parts)


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Names with commas, for messages; ", ..." where there are more of them."""
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"
