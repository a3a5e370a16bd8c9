"""The model builder: makes a functional Keras model from a variant name and options."""

import contextlib
import numbers
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_deeplab._internal.errors import InputError
from keras_deeplab.models import heads
from keras_deeplab.models.efficientnet import efficientnet_lite
from keras_deeplab.models.inputs import input_statistics
from keras_deeplab.models.layers import ImageInput, ResizeLike
from keras_deeplab.models.mobilenet_v2 import mobilenet_v2
from keras_deeplab.models.resnet import resnet
from keras_deeplab.models.variants import Backbone, get_backbone, get_variant
from keras_deeplab.models.xception import xception65

# Functions from the normalised image to the features of four stages: the first, at stride 4, goes
# to the decoder, the third to the auxiliary head, the fourth to ASPP.
FAMILIES: dict[str, Callable[..., list[keras.KerasTensor]]] = {
    "resnet": resnet,
    "efficientnet_lite": efficientnet_lite,
    "xception65": xception65,
    "mobilenet_v2": mobilenet_v2,
}
AUX_LOSS_WEIGHT = 0.4  # of the auxiliary loss in the total, as in the reference


@keras.saving.register_keras_serializable("keras_deeplab")
class DeepLabV3Plus(keras.Model):
    """Functional model with a check of the input channels and a loss for the auxiliary head.

    Stock Keras cannot match the dict of outputs that an auxiliary head causes to one label map.
    Here the loss of both is `loss(logits) + 0.4 loss(aux_logits)`, and metrics are those of
    `logits`. Losses and metrics of `compile` may be names or objects. The model outputs logits
    unless it was built with an activation, so compile it with
    `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`: the name
    `"sparse_categorical_crossentropy"` expects probabilities, which Keras does not check. Labels
    given as a dict by output name are Keras's own matter: compile with dicts, too.
    """

    # What the model knows of itself, a registered object that Keras can serialise; `None` at first.
    metadata: Any = None
    # Layers that a weights file for other classes or channels could not set; see checkpoints.fresh.
    fresh_layers: frozenset[tuple[str, str]] = frozenset()

    def get_config(self) -> dict[str, Any]:
        """Configuration of the functional model, with its metadata."""
        config = super().get_config()
        if self.metadata is not None:
            config["metadata"] = keras.saving.serialize_keras_object(self.metadata)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "DeepLabV3Plus":
        """The model of `get_config`; older configurations hold no metadata."""
        config = dict(config)
        metadata = config.pop("metadata", None)
        model = super().from_config(config, custom_objects=custom_objects)
        if metadata is not None:
            model.metadata = keras.saving.deserialize_keras_object(metadata)
        return model

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        channels = self.input_shape[-1]
        shape: Sequence[int | None] = getattr(inputs, "shape", ())
        if len(shape) == 4 and shape[-1] not in (channels, None):
            raise InputError(
                f"The model takes images of {channels} channels, got {shape[-1]} channels in shape "
                f"{tuple(shape)}. Select the channels, or build with another input_shape."
            )
        return super().__call__(inputs, *args, **kwargs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Main loss plus, with an auxiliary head, 0.4 times the same loss of its logits."""
        if not _shares_labels(y, y_pred):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        if isinstance(self.loss, dict):
            raise InputError(
                f"The loss is a dict of {', '.join(self.loss)}, but there is one label map. "
                "Compile with one loss for both heads, or give the labels as a dict, too."
            )
        main = super().compute_loss(x, y, y_pred["logits"], sample_weight, training)
        auxiliary = super().compute_loss(x, y, y_pred["aux_logits"], sample_weight, training)
        for further in self.losses:  # regularizers: they are in both
            auxiliary -= keras.ops.sum(further)
        return main + AUX_LOSS_WEIGHT * auxiliary

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Updates the metrics; with an auxiliary head they are those of the main logits."""
        if _shares_labels(y, y_pred):
            y_pred = y_pred["logits"]
            if self._compile_metrics is not None:
                # Keras 3.10 expects metrics of every output that it finds here.
                self._compile_metrics.output_names = ["logits"]
        return super().compute_metrics(x, y, y_pred, sample_weight)


def _shares_labels(y: Any, y_pred: Any) -> bool:
    """Whether there is one label map for the outputs of both heads."""
    return isinstance(y_pred, dict) and not isinstance(y, dict)


def build_model(
    variant: str,
    num_classes: int,
    *,
    dtype: str | keras.DTypePolicy | None = None,
    **options: Any,
) -> DeepLabV3Plus:
    """Builds a DeepLabV3+ with random weights; see `keras_deeplab.build` for the arguments."""
    with dtype_policy(dtype):
        return _build(variant, num_classes, **options)


@contextlib.contextmanager
def dtype_policy(policy: str | keras.DTypePolicy | None) -> Iterator[None]:
    """Within it new layers get a Keras dtype policy; `None` leaves the current one."""
    before = keras.config.dtype_policy()
    if policy is not None:
        keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build(
    variant: str,
    num_classes: int,
    *,
    output_stride: int | None = None,
    multi_grid: Sequence[int] | None = None,
    input_shape: Sequence[int | None] = (None, None, 3),
    include_preprocessing: bool = True,
    aux_head: bool = False,
    resize_logits: bool = True,
    activation: str | Callable[[Any], Any] | None = None,
    dropout: float = 0.1,
    sync_batch_norm: bool = False,
) -> DeepLabV3Plus:
    spec, backbone = get_variant(variant), get_backbone(variant)
    output_stride = spec.output_stride if output_stride is None else output_stride
    multi_grid = spec.multi_grid if multi_grid is None else tuple(multi_grid)
    _check_options(num_classes, output_stride, multi_grid, aux_head, backbone, dropout)
    num_classes, output_stride = int(num_classes), int(output_stride)  # may be NumPy integers
    channels = _checked_channels(input_shape)

    # --- Input ---
    image = keras.Input(input_shape, name="image", dtype="float32")
    statistics: Sequence[Any] = ()
    if include_preprocessing:
        statistics = input_statistics(channels, backbone.mean, backbone.std)
    x = ImageInput(*statistics, name="preprocessing")(image)

    # --- Backbone, ASPP, decoder ---
    stages = FAMILIES[backbone.family](
        x,
        **backbone.sizes,
        output_stride=output_stride,
        multi_grid=multi_grid,
        sync=sync_batch_norm,
    )
    x = heads.aspp(
        stages[3],
        backbone.aspp_channels,
        output_stride=output_stride,
        atrous=spec.atrous,
        bottleneck_kernel=backbone.bottleneck_kernel,
        align_corners=backbone.align_corners,
        sync=sync_batch_norm,
    )
    if spec.decoder:
        x = heads.decoder(
            x,
            stages[0],
            backbone.aspp_channels,
            backbone.low_level_channels,
            align_corners=backbone.align_corners,
            sync=sync_batch_norm,
        )
    outputs = {"logits": heads.classifier(x, num_classes, "decode_head", dropout=dropout)}
    if aux_head and backbone.aux_channels is not None:  # else _check_options has refused it
        outputs["aux_logits"] = heads.auxiliary_head(
            stages[2], backbone.aux_channels, num_classes, dropout=dropout, sync=sync_batch_norm
        )

    # --- Output: image resolution, optional activation, float32 under every dtype policy ---
    for key in outputs:
        if resize_logits:
            outputs[key] = ResizeLike(backbone.align_corners, dtype="float32", name=key)(
                [outputs[key], image]
            )
        if activation is not None:
            outputs[key] = keras.layers.Activation(
                activation, dtype="float32", name=f"{key}-activation"
            )(outputs[key])
    return DeepLabV3Plus(image, outputs if aux_head else outputs["logits"], name=variant)


def _check_options(
    num_classes: int,
    output_stride: int,
    multi_grid: tuple[int, ...] | None,
    aux_head: bool,
    backbone: Backbone,
    dropout: float,
) -> None:
    is_integer = isinstance(num_classes, numbers.Integral) and not isinstance(num_classes, bool)
    if not is_integer or num_classes < 1:
        raise InputError(
            f"num_classes must be a positive integer, got {num_classes!r}. "
            "Count the classes of your label maps without the ignore value."
        )
    if output_stride not in heads.ASPP_RATES:
        raise InputError(
            f"output_stride must be 8 or 16, got {output_stride!r}. "
            "8 keeps finer features, 16 needs a quarter of the computation in the last stages."
        )
    if multi_grid is not None:
        blocks = backbone.multi_grid_blocks
        if blocks == 0:
            raise InputError(
                f"{backbone.title} has no multi-grid, got multi_grid={multi_grid!r}. Its dilations "
                "follow from output_stride."
            )
        if len(multi_grid) != blocks or any(rate < 1 for rate in multi_grid):
            raise InputError(
                f"multi_grid must have one dilation of 1 or more for each of the {blocks} blocks "
                f"of stage 4, got {multi_grid!r}."
            )
    if aux_head and backbone.aux_channels is None:
        raise InputError(
            f"DeepLabV3+ with {backbone.title} has no auxiliary head, got aux_head=True. Build and "
            "train it without."
        )
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be in [0, 1), got {dropout!r}.")


def _checked_channels(input_shape: Sequence[int | None]) -> int:
    channels = input_shape[2] if len(input_shape) == 3 else None
    if channels is None or channels < 1:
        raise InputError(
            f"input_shape must be (height, width, channels) with known channels, got "
            f"{tuple(input_shape)!r}; height and width may be None."
        )
    return channels
