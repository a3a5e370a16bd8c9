"""EfficientNet-Lite against PyTorch, and what its dilations mean."""

import functools

import keras
import numpy as np
import pytest
from models.test_atrous import assert_equal_features, assert_other_features
from reference import REFERENCE, golden

import keras_deeplab as kd
from keras_deeplab.checkpoints.inspection import WeightsInfo, describe_weights
from keras_deeplab.models.efficientnet import efficientnet_lite, scaled_channels
from keras_deeplab.models.layers import ImageInput
from keras_deeplab.models.variants import BACKBONES
from keras_deeplab.zoo.trained_weights import imagenet_backbone

STRIDES = (4, 8, 16, 32)  # of the four stages, where none is replaced by a dilation
LITE0 = BACKBONES["efficientnet_lite0"]


@functools.cache
def backbone(output_stride):
    """The backbone with ImageNet weights, from an image of 0..255 to its four stages."""
    image = keras.Input((None, None, 3))
    x = ImageInput(LITE0.mean, LITE0.std)(image)
    network = keras.Model(image, efficientnet_lite(x, **LITE0.sizes, output_stride=output_stride))
    kd.load_weights(network, imagenet_backbone("efficientnet_lite0"))
    return network


def stages(size, output_stride):
    image = golden.make_image_u8("efficientnet", *size)[np.newaxis]
    return [np.asarray(x)[0] for x in backbone(output_stride)(image, training=False)]


@pytest.mark.parametrize(
    ("size", "output_stride"), [((224, 224), 32), ((97, 130), 32), ((97, 130), 16), ((97, 130), 8)]
)
def test_features_equal_pytorch(size, output_stride):
    """The fixture is of `efficientnet_lite_pytorch`, see `tests/data/efficientnet_lite0.py`."""
    with np.load(REFERENCE / "efficientnet_lite0.npz") as fixture:
        for stride, features in zip(STRIDES, stages(size, output_stride), strict=True):
            name = f"{size[0]}x{size[1]}_os{output_stride}_{stride}"
            assert features.shape == tuple(fixture[f"{name}_shape"])
            values = features.ravel()[fixture[f"{name}_places"]]
            np.testing.assert_allclose(values, fixture[f"{name}_values"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_stride_8_subsampled_is_stride_16(size):
    """Every second feature at output stride 8 is one at output stride 16.

    TensorFlow's "same" padding centres a strided convolution on odd positions where the size is
    even, and on even ones where it is odd.
    """
    dense, sparse = stages(size, 8), stages(size, 16)
    for stage in (0, 1):
        assert_equal_features(dense[stage], sparse[stage])
    for stage in (2, 3):
        rows, columns = ((side + 1) % 2 for side in dense[stage].shape[:2])
        subsampled = dense[stage][rows::2, columns::2]
        assert_equal_features(subsampled, sparse[stage])
        assert_other_features(
            dense[stage][1 - rows :: 2][: len(subsampled) - 1, columns::2],
            sparse[stage][: len(subsampled) - 1],
        )


def test_imagenet_weights_are_bundled(caplog, monkeypatch):
    """They need no network, and set the whole backbone and nothing else."""
    monkeypatch.setenv("KERAS_DEEPLAB_OFFLINE", "1")
    path = imagenet_backbone("efficientnet_lite0")
    assert describe_weights(path) == WeightsInfo(None, 3, False, "efficientnet_lite0")
    model = kd.build("efl0_d16", 3, input_shape=(None, None, 4), weights="imagenet")
    assert "the heads keep their weights" in caplog.text
    assert model.metadata.mean == (127.0,) * 4 and model.metadata.std == (128.0,) * 4
    for layer in backbone(16).layers:
        if not layer.weights:
            continue
        expected = layer.get_weights()
        if layer.name == "backbone-_conv_stem":
            expected = [model.get_layer(layer.name).get_weights()[0]]
            np.testing.assert_allclose(expected[0][:, :, :3], layer.get_weights()[0] * 0.75)
        for one, two in zip(model.get_layer(layer.name).get_weights(), expected, strict=True):
            np.testing.assert_array_equal(one, two)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {x.epsilon for x in norms if x.name.startswith("backbone-")} == {1e-3}
    with pytest.raises(kd.CheckpointError, match="does not match the backbone of model"):
        kd.build("r18_d16", 3, weights=path)


def test_scaled_channels_follow_tensorflow():
    """`round_filters` of the source: multiples of 8, not below 90 %."""
    assert [scaled_channels(x, 1.1) for x in (16, 24, 40, 80, 112, 192, 320)] == [
        *(16, 24, 48, 88, 120, 208, 352)
    ]
