"""What atrous convolution means: the same features on a denser grid."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import golden

from keras_deeplab.models.atrous import Conv2D, DepthwiseConv2D
from keras_deeplab.models.resnet import resnet

BLOCKS = {True: (1, 2, 3, 3), False: (1, 2, 2, 2)}  # fewer than a ResNet-50 has, with all dilations


@functools.cache
def backbones(bottleneck, multi_grid=None):
    """Two backbones of the same weights, of output stride 8 and 16, that put out their stages."""
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    dense, sparse = (
        keras.Model(
            image,
            resnet(
                image, BLOCKS[bottleneck], bottleneck, output_stride=stride, multi_grid=multi_grid
            ),
        )
        for stride in (8, 16)
    )
    sparse.set_weights(dense.get_weights())
    return dense, sparse


def stages(size, *network):
    """Pairs of the outputs of each stage, at output stride 8 and 16."""
    image = golden.make_input("atrous", 1, *size)
    found = (model(image, training=False) for model in backbones(*network))
    return [tuple(map(np.asarray, pair)) for pair in zip(*found, strict=True)]


def assert_equal_features(actual, expected):
    """Up to the order in which a convolution adds, which depends on the size and the processor."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def assert_other_features(actual, expected):
    assert np.abs(actual - expected).max() > 0.05 * np.abs(expected).max()


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_stride_8_subsampled_is_stride_16(size):
    """Every second feature at output stride 8 is a feature at output stride 16.

    Bottleneck blocks: where stride 16 halves the grid in stage 3, stride 8 keeps it and doubles
    the dilation of all later 3x3 convolutions (1, 2, 2, ... against 1, 1, 1, ... and 2, 4, 4
    against 1, 2, 2), so each one sees the same samples, zeros beyond the border included. This
    holds for the backbone alone: ASPP has other rates in pixels of its grid but its image pool
    averages another set of positions, and the decoder interpolates.
    """
    found = stages(size, True)
    for dense, sparse in found[:2]:
        assert_equal_features(dense, sparse)
    for dense, sparse in found[2:]:
        assert_equal_features(dense[:, ::2, ::2], sparse)


def test_does_not_hold_for_basic_blocks():
    """A basic block dilates only its first 3x3; the second sees other neighbours."""
    found = stages((64, 64), False)
    assert_equal_features(*found[1])
    assert_other_features(found[2][0][:, ::2, ::2], found[2][1])


def test_does_not_hold_for_a_fixed_multi_grid():
    """A multi-grid sets the dilations of stage 4 outright, the same at both strides."""
    found = stages((64, 64), True, (1, 2, 4))
    assert_equal_features(found[2][0][:, ::2, ::2], found[2][1])
    assert_other_features(found[3][0][:, ::2, ::2], found[3][1])


@pytest.mark.parametrize("ours", [Conv2D, DepthwiseConv2D])
@pytest.mark.parametrize("rate", [1, 2, (1, 4), (5, 3)])
@pytest.mark.parametrize(
    ("size", "changed"),
    [
        ((13, 8), {}),
        ((21, 16), {"kernel_size": 5}),
        ((3, 16), {}),
        ((13, 12), {"padding": "valid"}),
        ((9, 9), {"use_bias": True}),
    ],
)
def test_phases_compute_what_keras_computes(ours, rate, size, changed):
    """Outputs and both gradients, where sides divide by the rate and where they do not."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.standard_normal((2, *size, 3)), "float32")
    filters = {"filters": 4} if ours is Conv2D else {}
    options = {"padding": "same", "dilation_rate": rate, "use_bias": False, "kernel_size": 3}
    options |= {**filters, **changed}
    stock = getattr(keras.layers, ours.__name__)(**options)
    layer = ours(**options)
    results = []
    for each in (stock, layer):
        each.build(x.shape)
        each.set_weights(stock.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = each(x, training=True) if each is layer else each(x)
        results.append((outputs, *tape.gradient(outputs, (x, *each.trainable_weights), outputs)))
    for expected, actual in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ours", [Conv2D, DepthwiseConv2D])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_size_that_is_unknown_at_the_trace(ours, dtype):
    """Also where the dilation is longer than the image; bfloat16 sums in float32."""
    filters = (4,) if ours is Conv2D else ()
    options = {"padding": "same", "dilation_rate": 6, "use_bias": False, "dtype": dtype}
    layer = ours(*filters, 3, **options)

    def results(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
        return outputs, *tape.gradient(outputs, (x, layer.kernel.value), outputs)

    x = tf.random.stateless_normal((2, 9, 5, 3), (0, 1))
    known = results(x)
    unknown = tf.function(results, input_signature=[tf.TensorSpec((None, None, None, 3))])(x)
    for expected, actual in zip(known, unknown, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    assert known[0].dtype == layer.compute_dtype and known[2].dtype == "float32"


@pytest.mark.parametrize(("side", "rate", "shifted"), [(16, 2, False), (16, 12, True)])
def test_depthwise_takes_phases_unless_they_are_padding(side, rate, shifted):
    layer = DepthwiseConv2D(3, padding="same", dilation_rate=rate, use_bias=False)
    x = tf.TensorSpec((2, side, side, 4))
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(x).graph
    assert any(x.type == "SpaceToBatchND" for x in graph.get_operations()) != shifted


def test_phases_keep_the_static_shape():
    image = keras.Input((None, 40, 3))
    layer = Conv2D(5, 3, padding="same", dilation_rate=2, use_bias=False)
    assert layer(image, training=True).shape == (None, None, 40, 5)


@pytest.mark.parametrize("ours", [Conv2D, DepthwiseConv2D])
@pytest.mark.parametrize("training", [False, True])
def test_only_training_takes_phases(ours, training):
    """Inference has the operations of Keras's own layer, which other runtimes know."""
    stock = getattr(keras.layers, ours.__name__)
    filters = (5,) if ours is Conv2D else ()

    def operations(layer, **options):
        x = tf.TensorSpec((None, None, None, 3))
        graph = tf.function(lambda x: layer(x, **options)).get_concrete_function(x).graph
        return [operation.type for operation in graph.get_operations()]

    options = {"padding": "same", "dilation_rate": 2, "use_bias": False}
    ours, stock = ours(*filters, 3, **options), stock(*filters, 3, **options)
    assert (operations(ours, training=training) != operations(stock)) == training
