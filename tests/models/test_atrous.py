"""What atrous convolution means: the same features on a denser grid."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import golden, state_dict

import keras_deeplab as kd
from keras_deeplab.models.atrous import Conv2D, DepthwiseConv2D


def stages(variant, depth, image, **options):
    model = kd.build(variant, 6, include_preprocessing=False, aux_head=True, **options)
    kd.load_state_dict(model, state_dict(depth))
    names = [
        max(
            (
                layer.name
                for layer in model.layers
                if layer.name.startswith(f"backbone-layer{i}-") and layer.name.endswith("-relu")
            ),
            key=lambda name: int(name.split("-")[2]),
        )
        for i in (1, 2, 3, 4)
    ]
    backbone = keras.Model(model.input, [model.get_layer(name).output for name in names])
    return [np.asarray(stage) for stage in backbone(image, training=False)]


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_stride_8_subsampled_is_stride_16(size):
    """Every second feature at output stride 8 is a feature at output stride 16.

    Bottleneck blocks: where stride 16 halves the grid in stage 3, stride 8 keeps it and doubles
    the dilation of all later 3x3 convolutions (1, 2, 2, ... against 1, 1, 1, ... and 2, 4, 4
    against 1, 2, 2), so each one sees the same samples, zeros beyond the border included. This
    holds for the backbone alone: ASPP has other rates in pixels of its grid but its image pool
    averages another set of positions, and the decoder interpolates.
    """
    image = golden.make_input("atrous", 1, *size)
    dense, sparse = stages("r50_d8", 50, image), stages("r50_d16", 50, image)
    for stage in (0, 1):
        np.testing.assert_allclose(dense[stage], sparse[stage], atol=1e-5)
    for stage in (2, 3):
        np.testing.assert_allclose(dense[stage][:, ::2, ::2], sparse[stage], atol=1e-4)


def test_does_not_hold_for_basic_blocks():
    """A basic block dilates only its first 3x3; the second sees other neighbours."""
    image = golden.make_input("atrous", 1, 64, 64)
    dense, sparse = stages("r18_d8", 18, image), stages("r18_d16", 18, image)
    np.testing.assert_allclose(dense[1], sparse[1], atol=1e-5)
    assert np.abs(dense[2][:, ::2, ::2] - sparse[2]).max() > 0.01


def test_does_not_hold_for_a_fixed_multi_grid():
    """A multi-grid sets the dilations of stage 4 outright, the same at both strides."""
    image = golden.make_input("atrous", 1, 64, 64)
    dense, sparse = stages("r50_d8_mg124", 50, image), stages("r50_d16_mg124", 50, image)
    np.testing.assert_allclose(dense[2][:, ::2, ::2], sparse[2], atol=1e-4)
    assert np.abs(dense[3][:, ::2, ::2] - sparse[3]).max() > 0.01


@pytest.mark.parametrize("ours", [Conv2D, DepthwiseConv2D])
@pytest.mark.parametrize("rate", [1, 2, (1, 4), (5, 3)])
@pytest.mark.parametrize(
    ("size", "changed"),
    [((13, 8), {}), ((3, 16), {}), ((13, 12), {"padding": "valid"}), ((9, 9), {"use_bias": True})],
)
def test_phases_compute_what_keras_computes(ours, rate, size, changed):
    """Outputs and both gradients, where sides divide by the rate and where they do not."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((2, *size, 3)), "float32")
    filters = (4,) if ours is Conv2D else ()
    options = {"padding": "same", "dilation_rate": rate, "use_bias": False, **changed}
    stock = getattr(keras.layers, ours.__name__)(*filters, 3, **options)
    layer = ours(*filters, 3, **options)
    results = []
    for each in (stock, layer):
        each.build(x.shape)
        each.set_weights(stock.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = each(x)
        results.append((outputs, *tape.gradient(outputs, (x, *each.trainable_weights), outputs)))
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_phases_keep_the_static_shape():
    image = keras.Input((None, 40, 3))
    assert Conv2D(5, 3, padding="same", dilation_rate=2)(image).shape == (None, None, 40, 5)
