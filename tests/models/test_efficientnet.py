"""EfficientNet-Lite against PyTorch, and what its dilations mean."""

import functools

import keras
import numpy as np
import pytest
from models.test_atrous import assert_equal_features, assert_other_features
from reference import REFERENCE, golden
from tiny import blocks

import keras_deeplab as kd
from keras_deeplab.checkpoints.fresh import fresh_layers
from keras_deeplab.checkpoints.inspection import WeightsInfo, describe_weights
from keras_deeplab.checkpoints.parity import stage_layers
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import to_state_dict
from keras_deeplab.models.efficientnet import efficientnet_lite, scaled_channels
from keras_deeplab.models.layers import ImageInput
from keras_deeplab.models.variants import BACKBONES, STAGES
from keras_deeplab.training.freezing import frozen_layers
from keras_deeplab.zoo.starting_point import build_from, find_starting_point
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
    outputs = backbone(output_stride)(image, training=False)
    return [keras.ops.convert_to_numpy(x)[0] for x in outputs]


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


@pytest.fixture(scope="module")
def started():
    """What `--init imagenet` starts from; it needs no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_DEEPLAB_OFFLINE", "1")
        return build_from(find_starting_point("imagenet", "efl0_d16"), 3, dropout=0.0)


def test_imagenet_weights_are_bundled(started):
    """They set the whole backbone, and leave the heads fresh."""
    path = imagenet_backbone("efficientnet_lite0")
    assert describe_weights(path) == WeightsInfo(None, 3, False, "efficientnet_lite0")
    assert_same_backbone(started)
    heads = {x.name for x in started.layers if x.weights and x.name.startswith("decode_head")}
    assert fresh_layers(started) == heads
    assert started.metadata.mean == (127.0,) * 3 and started.metadata.std == (128.0,) * 3
    norms = [x for x in started.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {x.epsilon for x in norms if x.name.startswith("backbone-")} == {1e-3}
    # Those of TensorFlow's trainings, 0.99 and more, would lag behind at the first validation.
    assert {x.momentum for x in norms} == {0.9}


def assert_same_backbone(model):
    for layer in backbone(16).layers:
        if layer.weights:
            pairs = zip(layer.get_weights(), model.get_layer(layer.name).get_weights(), strict=True)
            for one, two in pairs:
                np.testing.assert_array_equal(one, two)


def test_the_pth_file_of_the_source_loads(started, tmp_path):
    """Its classifier, which begins with a convolution and a batch norm, is ignored."""
    backbone_alone = {
        name.removeprefix("backbone."): array
        for name, array in to_state_dict(started).items()
        if name.startswith("backbone.")
    }
    assert len(backbone_alone) == 296 - 8  # of the source; 8 are of its classifier
    classifier = {
        "_conv_head.weight": np.ones((4, 320, 1, 1), "f"),
        "_bn1.weight": np.ones(4, "f"),
        "_bn1.num_batches_tracked": np.zeros((), np.int64),
        "_fc.bias": np.ones(2, "f"),
    }
    write_torch_checkpoint(tmp_path / "lite0.pth", backbone_alone | classifier)
    write_torch_checkpoint(tmp_path / "whole.pth", to_state_dict(started))
    for name, classes in (("lite0.pth", None), ("whole.pth", 3)):
        found = describe_weights(tmp_path / name)
        assert found == WeightsInfo(classes, 3, False, "efficientnet_lite0")
        model = kd.build("efl0_d8", 3, weights=tmp_path / name)
        assert_same_backbone(model)


def test_parts_of_the_backbone(started):
    """Names of the outputs of its stages, and what is frozen up to one of them."""
    outputs = stage_layers(started)
    assert [outputs[stage] for stage in STAGES] == [
        "backbone-_bn0-relu6",
        *(f"backbone-_blocks-{block}" for block in ("2-add", "4-add", "10-add", "15-_bn2")),
    ]
    kd.compile_for_training(started, kd.Recipe(batch_size=2, freeze="layer2"))
    frozen = {name.split("-")[2] for name in frozen_layers(started) if "_blocks" in name}
    assert frozen == {"0", "1", "2", "3", "4"}
    assert {"backbone-_conv_stem", "backbone-_bn0"} < set(frozen_layers(started))


@pytest.mark.slow
def test_statistics_fit_after_few_steps(started):
    """After 60 steps from the backbone, validation gives the loss of a training batch."""
    kd.compile_for_training(
        started, kd.Recipe(steps=60, batch_size=8, optimizer="adamw", learning_rate=1e-3)
    )
    batches = iter(kd.data.training_batches(blocks(8, 128, 3), batch_size=8, crop=128))
    losses = [float(started.train_on_batch(*map(np.asarray, next(batches)))) for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.7 * losses[0]
    images, labels = map(np.asarray, next(batches))
    valid = labels != 255
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    inference, training = (
        float(loss(labels[valid], np.asarray(started(images, training=mode))[valid]))
        for mode in (False, True)
    )
    assert abs(inference - training) < 0.25 * losses[0]


def test_scaled_channels_follow_tensorflow():
    """`round_filters` of the source: multiples of 8, not below 90 %."""
    assert [scaled_channels(x, 1.1) for x in (16, 24, 40, 80, 112, 192, 320)] == [
        *(16, 24, 48, 88, 120, 208, 352)
    ]
