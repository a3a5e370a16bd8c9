"""The few layers Keras does not have, and the conv + batch norm + ReLU unit everything is made of.

Every layer is named by the module path of the PyTorch reference with `-` for `.`, so that the
state dict of the reference maps to layers by name (see `keras_deeplab.checkpoints`).
"""

import keras

from keras_deeplab.models.atrous import Conv2D, DepthwiseConv2D
from keras_deeplab.models.batch_norm import BatchNormalization

MEAN = (123.675, 116.28, 103.53)  # ImageNet statistics of RGB 0..255, as in the reference
STD = (58.395, 57.12, 57.375)
MIN_SIZE = 32  # pixels; below it the deepest features of the reference vanish at stride 32
BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9  # Keras counts what is kept, PyTorch what is replaced (0.1)


def input_statistics(channels):
    """Mean and standard deviation of each input channel, on the scale 0..255.

    Three channels have those of RGB. Of others nothing is known: every further one, and each where
    there are fewer than three, has the average of the three.
    """

    def extended(values):
        average = sum(values) / len(values)
        known = values if channels >= len(values) else ()
        return (*known, *[average] * (channels - len(known)))

    return extended(MEAN), extended(STD)


def check_image_size(height, width):
    """Raises a `ValueError` when a known side is below 32 pixels."""
    for side, size in (("height", height), ("width", width)):
        if size is not None and size < MIN_SIZE:
            raise ValueError(
                f"Image {side} is {size} pixels; DeepLabV3+ needs at least {MIN_SIZE}. "
                "Pad or enlarge the image first."
            )


@keras.saving.register_keras_serializable("keras_deeplab")
class ImageInput(keras.layers.Layer):
    """Checks the image size and, given statistics, normalises: `(image - mean) / std`.

    Always computes in float32: bfloat16 would round the picture before the network sees it.

    Args:
        mean: Mean of each channel, on the scale of the input, or `None` for no normalisation.
        std: Standard deviation of each channel, or `None`.
    """

    def __init__(self, mean=None, std=None, **kwargs):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.mean = None if mean is None else tuple(mean)
        self.std = None if std is None else tuple(std)

    def call(self, image):
        check_image_size(*image.shape[1:3])
        if self.mean is None:
            return image
        mean = keras.ops.array(self.mean, dtype="float32")
        std = keras.ops.array(self.std, dtype="float32")
        return (keras.ops.cast(image, "float32") - mean) / std

    def compute_output_shape(self, input_shape):
        check_image_size(*input_shape[1:3])
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std}


@keras.saving.register_keras_serializable("keras_deeplab")
class ResizeLike(keras.layers.Layer):
    """Resizes `inputs[0]` to the height and width of `inputs[1]`.

    Bilinear with half-pixel centres and no antialiasing: PyTorch's
    `interpolate(mode="bilinear", align_corners=False)`.
    """

    def call(self, inputs):
        features, reference = inputs
        if keras.backend.backend() == "tensorflow":
            # keras.ops.image.resize needs a static size, and a symbolic one breaks every export.
            import tensorflow as tf

            resized = tf.image.resize(features, tf.shape(reference)[1:3], method="bilinear")
        else:
            size = tuple(reference.shape[1:3])
            resized = keras.ops.image.resize(
                features, size, interpolation="bilinear", antialias=False
            )
        return keras.ops.cast(resized, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        features, reference = input_shape
        return (features[0], reference[1], reference[2], features[3])


def conv(x, filters, kernel_size, name, *, strides=1, dilation=1):
    """Convolution without bias, padded on both sides as PyTorch pads."""
    if strides > 1 and kernel_size > 1:
        # "same" pads bottom and right only when an even size is halved.
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}-pad")(x)
    return Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if strides == 1 else "valid",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def batch_norm(x, name, *, sync=False):
    """Batch normalisation with the reference's epsilon and momentum."""
    return BatchNormalization(
        epsilon=BN_EPSILON, momentum=BN_MOMENTUM, synchronized=sync, name=name
    )(x)


def relu(x, name):
    """ReLU under the reference's name for it."""
    return keras.layers.ReLU(name=name)(x)


def conv_module(x, filters, kernel_size, name, *, dilation=1, sync=False):
    """Convolution, batch norm, ReLU: the reference's `ConvModule`."""
    x = conv(x, filters, kernel_size, f"{name}-conv", dilation=dilation)
    return relu(batch_norm(x, f"{name}-bn", sync=sync), f"{name}-activate")


def separable_conv_module(x, filters, name, *, dilation=1, sync=False):
    """Depthwise 3x3 and pointwise 1x1, each with batch norm and ReLU.

    `keras.layers.SeparableConv2D` has nothing between the two and cannot express it.
    """
    x = DepthwiseConv2D(
        3,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}-depthwise_conv-conv",
    )(x)
    x = batch_norm(x, f"{name}-depthwise_conv-bn", sync=sync)
    x = relu(x, f"{name}-depthwise_conv-activate")
    return conv_module(x, filters, 1, f"{name}-pointwise_conv", sync=sync)
