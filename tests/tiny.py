"""A network of two convolutions that trains in milliseconds, named as the real ones are."""

import contextlib
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from keras_deeplab.models import deeplab, heads
from keras_deeplab.models.deeplab import DeepLabV3Plus
from keras_deeplab.models.inputs import input_statistics
from keras_deeplab.models.layers import ImageInput, ResizeLike, conv_module


def tiny_model(
    classes=2, dropout=0.5, seed=0, *, channels=3, aux_head=False, sync_batch_norm=False, stride=1
):
    """Two blocks of 8 channels, the second at `stride`; an auxiliary head sits on the first."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((None, None, channels), name="image")
    x = ImageInput(*input_statistics(channels), name="preprocessing")(image)
    stem = conv_module(x, 8, 3, "backbone-stem", sync=sync_batch_norm)
    x = stem if stride == 1 else keras.layers.AveragePooling2D(stride, padding="same")(stem)
    x = conv_module(x, 8, 3, "backbone-layer1", sync=sync_batch_norm)
    outputs = {"logits": heads.classifier(x, classes, "decode_head", dropout=dropout)}
    if aux_head:
        outputs["aux_logits"] = heads.classifier(stem, classes, "auxiliary_head", dropout=dropout)
    for key in outputs:
        outputs[key] = ResizeLike(dtype="float32", name=key)([outputs[key], image])
    return DeepLabV3Plus(image, outputs if aux_head else outputs["logits"])


def with_statistics(model, prefix=""):
    """The model, its batch norms with names of this prefix as if they had been trained."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.name.startswith(prefix):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.moving_variance.shape))
    return model


@contextlib.contextmanager
def tiny_networks(dropout=0.5):
    """Within it every variant is the tiny network."""

    def build(
        variant,
        num_classes,
        *,
        input_shape=(None, None, 3),
        aux_head=False,
        sync_batch_norm=False,
        **options,
    ):
        return tiny_model(
            num_classes,
            dropout,
            channels=input_shape[2],
            aux_head=aux_head,
            sync_batch_norm=sync_batch_norm,
        )

    with mock.patch.object(deeplab, "_build", build):
        yield


def blocks(count=4, size=40, classes=2):
    """Images of noisy blocks, bright where the label is 1, with ignored blocks."""
    rng = np.random.default_rng(0)
    labels = rng.choice([*range(classes), 255], (count, size // 8, size // 8))
    labels = labels.repeat(8, 1).repeat(8, 2).astype("uint8")
    images = rng.integers(0, 100, (count, size, size, 3)) + 100 * (labels == 1)[..., None]
    return tf.data.Dataset.from_tensor_slices((images.astype("uint8"), labels))
