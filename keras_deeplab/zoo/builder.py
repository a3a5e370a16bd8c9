"""`keras_deeplab.build`: the pure builder plus weights from a file."""

from collections.abc import Sequence

import keras

from keras_deeplab._internal.files import StrPath
from keras_deeplab.checkpoints.loading import load_weights
from keras_deeplab.models.deeplab import build_model
from keras_deeplab.models.variants import get_variant
from keras_deeplab.zoo.metadata import ModelMetadata, describe_build
from keras_deeplab.zoo.trained_weights import imagenet_backbone

# `.keras` files keep it. It is registered here because its own module needs no Keras.
keras.saving.register_keras_serializable("keras_deeplab")(ModelMetadata)


def build(
    variant: str,
    num_classes: int,
    *,
    output_stride: int | None = None,
    multi_grid: Sequence[int] | None = None,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    include_preprocessing: bool = True,
    aux_head: bool = False,
    resize_logits: bool = True,
    activation: str | None = None,
    dropout: float = 0.1,
    sync_batch_norm: bool = False,
    dtype: str | keras.DTypePolicy | None = None,
    weights: StrPath | None = None,
) -> keras.Model:
    """Builds a DeepLabV3+ as a functional `keras.Model`.

    Args:
        variant: A name of `list_variants()`, for example `"r50_d8"`.
        num_classes: Number of classes, 1 or more, without the ignore value.
        output_stride: 8 or 16; `None` keeps the variant's.
        multi_grid: Dilation of each stage-4 block of a ResNet, for example `(1, 2, 4)`, or factor
            on that of each convolution of Xception's last block; `None` keeps the variant's.
        input_shape: `(height, width, channels)`; `None` for height and width takes any size of
            32 pixels or more.
        include_preprocessing: Whether the model takes RGB 0..255 (uint8 or float) and normalises
            it itself: with ResNet by mean 123.675, 116.28, 103.53 and standard deviation 58.395,
            57.12, 57.375, with EfficientNet-Lite by 127 and 128, with Xception-65 and MobileNetV2
            by 127.5 and 127.5. Other bands, also 0..255, are normalised with the averages of
            these. Without it the model takes normalised float32.
        aux_head: Whether to add the auxiliary head on stage 3, for training. Networks with
            Xception-65 or MobileNetV2 have none.
        resize_logits: Whether logits have the size of the input. Otherwise they have a quarter of
            it, without decoder that of stage 4, and the auxiliary ones the size of stage 3.
        activation: Keras activation on the outputs, for example `"softmax"`; `None` for logits.
        dropout: Rate of the channel dropout before the classifiers, in [0, 1).
        sync_batch_norm: Whether batch statistics are shared across replicas.
        dtype: Keras dtype policy of the layers, for example `"mixed_bfloat16"`; `None` takes
            `keras.config.dtype_policy()`. Logits are float32 under every policy.
        weights: A file for `load_weights`; `"imagenet"` for the backbone, bundled
            (EfficientNet-Lite) or fetched if need be (the others); or `None` for fresh weights.

    Returns:
        A functional `keras.Model` from `(N, H, W, channels)` to float32 logits
        `(N, H, W, num_classes)`; with `aux_head` to a dict of `"logits"` and `"aux_logits"`. The
        classes of its `metadata` are numbered.

    Raises:
        ValueError: For an unknown variant or an invalid option.
        CheckpointError: When `weights` does not fit.
        DownloadError: When the ImageNet weights cannot be fetched.

    Example:

    >>> model = build("r18_d8", num_classes=6)
    >>> model.predict(np.zeros((1, 65, 97, 3), "uint8")).shape
    (1, 65, 97, 6)
    """
    model = build_model(
        variant,
        num_classes,
        output_stride=output_stride,
        multi_grid=multi_grid,
        input_shape=input_shape,
        include_preprocessing=include_preprocessing,
        aux_head=aux_head,
        resize_logits=resize_logits,
        activation=activation,
        dropout=dropout,
        sync_batch_norm=sync_batch_norm,
        dtype=dtype,
    )
    model.metadata = describe_build(
        variant,
        num_classes,
        channels=input_shape[2],
        include_preprocessing=include_preprocessing,
        output_stride=output_stride,
        multi_grid=None if multi_grid is None else tuple(multi_grid),
    )
    if weights == "imagenet":
        weights = imagenet_backbone(get_variant(variant).backbone)
    if weights is not None:
        load_weights(model, weights)
    return model
