"""Layers that Keras does not have, and the conv + batch norm + ReLU unit of the network.

Every layer is named by the module path of the PyTorch reference with `-` for `.`, so that the
state dict of the reference maps to layers by name (see `keras_deeplab.checkpoints`).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_deeplab.models.atrous import DATA_FORMAT, Conv2D, DepthwiseConv2D
from keras_deeplab.models.batch_norm import BatchNormalization
from keras_deeplab.models.inputs import check_image_size

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9  # Keras: weight of the old value; PyTorch: of the new one (0.1)


@keras.saving.register_keras_serializable("keras_deeplab")
class ImageInput(keras.layers.Layer):
    """Checks the image size and, given statistics, normalises: `(image - mean) / std`.

    Always computes in float32: bfloat16 would round the image before the network sees it.

    Args:
        mean: Mean of each channel, on the scale of the input, or `None` for no normalisation.
        std: Standard deviation of each channel, or `None`.
    """

    def __init__(
        self,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.mean = None if mean is None else tuple(mean)
        self.std = None if std is None else tuple(std)

    def call(self, image: Any) -> Any:
        check_image_size(*image.shape[1:3])
        if self.mean is None:
            return image
        mean = keras.ops.array(self.mean, dtype="float32")
        std = keras.ops.array(self.std, dtype="float32")
        return (keras.ops.cast(image, "float32") - mean) / std

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        check_image_size(*input_shape[1:3])
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable("keras_deeplab")
class ResizeLike(keras.layers.Layer):
    """Resizes `inputs[0]` to the height and width of `inputs[1]`.

    Bilinear without antialiasing, as PyTorch's `interpolate(mode="bilinear")`.

    Args:
        align_corners: Whether the centres of the corner pixels coincide, as in DeepLab's TensorFlow
            code, rather than the corners of the images.
    """

    def __init__(self, align_corners: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.align_corners = align_corners

    def call(self, inputs: Sequence[Any]) -> Any:
        features, reference = inputs
        if self.align_corners:
            resized = _resize_aligned(features, reference)
        elif keras.backend.backend() == "tensorflow":
            # keras.ops.image.resize needs a static size; a symbolic one breaks every export.
            import tensorflow as tf

            resized = tf.image.resize(features, tf.shape(reference)[1:3], method="bilinear")
        else:
            size = tuple(reference.shape[1:3])
            resized = keras.ops.image.resize(
                features,
                size,
                interpolation="bilinear",
                antialias=False,
                data_format=DATA_FORMAT,
            )
        return keras.ops.cast(resized, self.compute_dtype)

    def compute_output_shape(
        self, input_shape: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        features, reference = input_shape
        return (features[0], reference[1], reference[2], features[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "align_corners": self.align_corners}


def _resize_aligned(features: Any, reference: Any) -> Any:
    """Bilinear resize with aligned corners, in float32, which keras.ops does not have."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.raw_ops.ResizeBilinear(
            images=features, size=tf.shape(reference)[1:3], align_corners=True
        )
    x = keras.ops.cast(features, "float32")
    for axis in (2, 1):
        old, new = x.shape[axis], reference.shape[axis]
        position = np.arange(new, dtype=np.float32) * np.float32((old - 1) / max(new - 1, 1))
        first = position.astype(np.int32)
        weight = keras.ops.convert_to_tensor(
            (position - first).reshape([-1 if side == axis else 1 for side in range(4)])
        )
        below, above = (
            keras.ops.take(x, np.minimum(index, old - 1), axis) for index in (first, first + 1)
        )
        x = below + (above - below) * weight
    return x


def conv(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "symmetric",
) -> keras.KerasTensor:
    """Convolution without bias.

    With a stride, `"symmetric"` pads as PyTorch does, `"same"` as TensorFlow does.
    """
    if padding == "symmetric" and strides > 1 and kernel_size > 1:
        x = _pad(x, kernel_size, name)
        padding = "valid"
    return Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="valid" if padding == "valid" else "same",
        data_format=DATA_FORMAT,
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _pad(x: keras.KerasTensor, kernel_size: int, name: str) -> keras.KerasTensor:
    """Zeros on all sides. With an even size, "same" would pad only at the bottom and right."""
    return keras.layers.ZeroPadding2D(
        kernel_size // 2, data_format=DATA_FORMAT, name=f"{name}-pad"
    )(x)


def depthwise_conv(
    x: keras.KerasTensor,
    kernel_size: int,
    name: str,
    *,
    strides: int = 1,
    dilation: int = 1,
    padding: str = "same",
) -> keras.KerasTensor:
    """Depthwise convolution without bias; see `conv` for the padding."""
    if padding == "symmetric" and strides > 1:
        x = _pad(x, kernel_size, name)
    return DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding="valid" if padding == "symmetric" and strides > 1 else "same",
        data_format=DATA_FORMAT,
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)


def batch_norm(
    x: keras.KerasTensor, name: str, *, sync: bool = False, epsilon: float = BN_EPSILON
) -> keras.KerasTensor:
    """Batch normalisation with the momentum of the PyTorch reference, for every network.

    TensorFlow's backbones were trained with a momentum of 0.99 and more, over many thousand steps.
    Fine-tuning takes fewer, and its validation needs statistics of its own images.
    """
    return BatchNormalization(epsilon=epsilon, momentum=BN_MOMENTUM, synchronized=sync, name=name)(
        x
    )


def relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """ReLU, named as in the reference."""
    return keras.layers.ReLU(name=name)(x)


def relu6(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """ReLU of at most 6."""
    return keras.layers.ReLU(max_value=6.0, name=name)(x)


def conv_module(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    *,
    dilation: int = 1,
    sync: bool = False,
) -> keras.KerasTensor:
    """Convolution, batch norm, ReLU: mmcv's `ConvModule`."""
    x = conv(x, filters, kernel_size, f"{name}-conv", dilation=dilation)
    return relu(batch_norm(x, f"{name}-bn", sync=sync), f"{name}-activate")


def separable_conv_module(
    x: keras.KerasTensor, filters: int, name: str, *, dilation: int = 1, sync: bool = False
) -> keras.KerasTensor:
    """Depthwise 3x3 and pointwise 1x1, each with batch norm and ReLU.

    `keras.layers.SeparableConv2D` has no batch norm and ReLU between the two convolutions.
    """
    x = depthwise_conv(x, 3, f"{name}-depthwise_conv-conv", dilation=dilation)
    x = batch_norm(x, f"{name}-depthwise_conv-bn", sync=sync)
    x = relu(x, f"{name}-depthwise_conv-activate")
    return conv_module(x, filters, 1, f"{name}-pointwise_conv", sync=sync)
