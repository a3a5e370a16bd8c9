"""Official checkpoints: read, matched to networks, and converted."""

import hashlib
import logging
import shutil

import numpy as np
import pytest
from in_process import run
from reference import (
    OFFICIAL,
    TOLERANCE,
    golden_tf,
    golden_variables,
    narrow_network,
    read,
    save_variables,
)

import keras_deeplab as kd
from keras_deeplab.checkpoints.inspection import build_for, describe_weights
from keras_deeplab.checkpoints.loading import init_weights
from keras_deeplab.checkpoints.state_dict import to_state_dict
from keras_deeplab.checkpoints.tensorflow.variables import is_backbone, kernel_shapes

FILES = OFFICIAL / "checkpoints"
ARCHIVE = FILES / "deeplabv3_mnv2_small_voc.tar.gz"
PREFIX = "model.ckpt-30000"
PLAIN = "tf_variables_mobilenet_v2_21.json"


@pytest.fixture(scope="module")
def record():
    return read("official/checkpoints/deeplabv3_mnv2_small_voc.json")


@pytest.fixture(scope="module")
def plain():
    return kd.build("mnv2_d16_plain", 21)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """`.index` files of a whole plain network, and of its backbone as an ImageNet classifier."""
    folder = tmp_path_factory.mktemp("official")
    variables = golden_variables(PLAIN)
    backbone = {name: x for name, x in variables.items() if name.startswith("MobilenetV2/")}
    first = "MobilenetV2/Conv/weights"
    classifier = {
        "MobilenetV2/Conv_1/weights": np.zeros((1, 1, 320, 8), "float32"),
        "MobilenetV2/Logits/Conv2d_1c_1x1/weights": np.zeros((1, 1, 8, 5), "float32"),
        f"{first}/ExponentialMovingAverage": variables[first],
        f"{first}/RMSProp_1": variables[first],
        "global_step": np.int64(7),
    }
    return {
        "whole": save_variables(variables, folder / "whole.ckpt"),
        "backbone": save_variables(backbone | classifier, folder / "imagenet.ckpt"),
    }


@pytest.mark.parametrize(
    "name", [ARCHIVE.name, f"{PREFIX}.index", f"{PREFIX}.data-00000-of-00001", PREFIX]
)
def test_variables_without_optimizer(record, name):
    checkpoint = kd.read_tensorflow_checkpoint(FILES / name)
    assert checkpoint.meta == {"global_step": 30000}
    assert len(checkpoint.state_dict) == record["num_model_tensors"] == 272
    for variable, array in checkpoint.state_dict.items():
        assert hashlib.sha256(array.tobytes()).hexdigest() == record["tensors"][variable]["sha256"]


def test_the_archive_predicts_as_its_golden_says(record):
    expected = record["network_output"]["logits"]
    with narrow_network(width=0.1, aspp_channels=16, output_stride=8):
        model = kd.build("narrow", 21, resize_logits=False, weights=ARCHIVE)
    picture = golden_tf.make_picture("deeplabv3_mnv2_small_voc", 1, 65, 65)
    logits = np.asarray(model(picture, training=False))
    assert list(logits.shape) == expected["shape_nhwc"]
    found = logits[tuple(np.array(expected["positions_nyx"]).T)]
    np.testing.assert_allclose(found, expected["values"], rtol=0, atol=TOLERANCE)


def test_damaged_pairs(tmp_path):
    for name in (f"{PREFIX}.index", f"{PREFIX}.data-00000-of-00001"):
        shutil.copy(FILES / name, tmp_path)
    index, data = (tmp_path / f"{PREFIX}{end}" for end in (".index", ".data-00000-of-00001"))
    whole = data.read_bytes()
    changed = bytearray(whole)
    for place in range(0, len(whole), 3000):  # the state of the optimizer is not read
        changed[place] ^= 1
    data.write_bytes(changed)
    with pytest.raises(kd.CheckpointError, match=r"30000\.index cannot be read"):
        kd.read_tensorflow_checkpoint(index)
    data.write_bytes(whole[:-1])
    with pytest.raises(kd.CheckpointError, match="its variables need 257528 bytes, its data have"):
        kd.read_tensorflow_checkpoint(index)
    data.unlink()
    with pytest.raises(kd.CheckpointError, match=r"data-00000-of-00001 is missing"):
        kd.read_tensorflow_checkpoint(index)
    data.write_bytes(whole)
    index.write_bytes(index.read_bytes()[:-100])
    with pytest.raises(kd.CheckpointError, match="cannot be read as a checkpoint"):
        kd.read_tensorflow_checkpoint(index)
    index.unlink()
    with pytest.raises(kd.CheckpointError, match=r"30000\.index is missing"):
        kd.read_tensorflow_checkpoint(data)
    with pytest.raises(kd.CheckpointError, match=r"none\.tar\.gz: No such file"):
        kd.read_tensorflow_checkpoint(tmp_path / "none.tar.gz")


def test_names_and_shapes_are_strict(plain):
    before = plain.get_weights()
    variables = dict(golden_variables(PLAIN))
    missing = variables.pop("aspp0/BatchNorm/beta")
    with pytest.raises(kd.CheckpointError, match="1 missing: aspp0/BatchNorm/beta"):
        kd.load_state_dict(plain, variables)
    variables["aspp0/BatchNorm/beta"] = missing
    with pytest.raises(kd.CheckpointError, match="1 unexpected: aspp1_pointwise/weights"):
        kd.load_state_dict(plain, {**variables, "aspp1_pointwise/weights": missing})
    turned = {**variables, "aspp0/weights": variables["aspp0/weights"].transpose(3, 2, 0, 1)}
    with pytest.raises(kd.CheckpointError, match=r"aspp0/weights \(256, 320, 1, 1\), expected \(1"):
        kd.load_state_dict(plain, turned)
    backbone = {name: x for name, x in variables.items() if name.startswith("MobilenetV2/")}
    with pytest.raises(kd.CheckpointError, match="17 missing: image_pooling/weights"):
        kd.load_state_dict(plain, backbone)
    with pytest.raises(kd.CheckpointError, match=r"has none of these: backbone\.stem"):
        kd.load_state_dict(plain, {"backbone.stem.0.weight": missing})
    with pytest.raises(kd.CheckpointError, match=r"begin with MobilenetV2/, but .* of xception_65"):
        kd.load_state_dict(plain, {"xception_65/entry_flow/conv1_1/weights": missing})
    for one, two in zip(plain.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, two)


def test_other_networks_are_named(plain):
    with pytest.raises(kd.CheckpointError, match="fits only variants with Xception-65 or MobileN"):
        kd.load_weights(kd.build("r18_d16", 21), ARCHIVE)
    with pytest.raises(kd.CheckpointError, match="of the wrong shape: MobilenetV2/Conv/weights"):
        kd.load_weights(plain, ARCHIVE)
    with pytest.raises(ValueError, match="has no PyTorch reference"):
        to_state_dict(plain)


def test_networks_without_a_variant_are_shown_by_their_names(plain, tmp_path):
    first = "xception_71/entry_flow/conv1_1"
    kernel = np.zeros((3, 3, 3, 32), "float32")
    path = save_variables({f"{first}/weights": kernel}, tmp_path / "model.ckpt")
    with pytest.raises(kd.CheckpointError, match=f"none of these: {first}/weights$"):
        kd.load_weights(plain, path)
    with pytest.raises(kd.CheckpointError, match=rf"backbone\.Conv, but only {first}\.$"):
        describe_weights(path)


def test_what_files_contain(files):
    info = describe_weights(files["whole"])
    assert (info.num_classes, info.channels, info.aux_head) == (21, 3, False)
    assert info.backbone == "mobilenet_v2"
    info = describe_weights(files["backbone"])
    assert (info.num_classes, info.backbone) == (None, "mobilenet_v2")
    with pytest.raises(kd.CheckpointError, match="contains only a backbone"):
        build_for(files["backbone"], "mnv2_d16")
    with pytest.raises(
        kd.CheckpointError, match="contains MobileNetV2, variant x65_d16 has Xception"
    ):
        build_for(files["whole"], "x65_d16")


@pytest.mark.parametrize(
    "first, classifier",
    [
        ("xception_65/entry_flow/conv1_1", "xception_65/logits"),
        ("MobilenetV2/Conv", "MobilenetV2/Logits/Conv2d_1c_1x1"),
    ],
)
def test_an_imagenet_classifier_is_none_of_ours(first, classifier):
    """As `nets` of research/slim and `core/xception.py` name it."""
    kernel = np.zeros((3, 3, 3, 32), "float32")
    names = {f"{first}/weights": kernel, f"{classifier}/weights": kernel[:1, :1]}
    assert list(kernel_shapes(names)) == [f"backbone.{first.partition('/')[2].replace('/', '.')}"]
    assert is_backbone(names)


def test_backbones_and_other_classes(files, caplog):
    model = kd.build("mnv2_d8_plain", 3)
    head = np.asarray(model.get_layer("decode_head-conv_seg").kernel)
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        kd.load_weights(model, files["backbone"])
    assert "contains only a backbone: the heads keep their weights" in caplog.text
    kernel = golden_variables(PLAIN)["MobilenetV2/expanded_conv_16/project/weights"]
    layer = model.get_layer("backbone-expanded_conv_16-project")
    np.testing.assert_array_equal(layer.kernel, kernel)
    np.testing.assert_array_equal(model.get_layer("decode_head-conv_seg").kernel, head)
    assert init_weights(model, files["whole"]) == ["decode_head.conv_seg"]
    np.testing.assert_array_equal(
        model.get_layer("decode_head-aspp_modules-0-conv").kernel,
        golden_variables(PLAIN)["aspp0/weights"],
    )


def test_four_channels(files):
    model = kd.build("mnv2_d16_plain", 21, input_shape=(None, None, 4), weights=files["whole"])
    kernel = golden_variables(PLAIN)["MobilenetV2/Conv/weights"]
    found = np.asarray(model.get_layer("backbone-Conv").kernel)
    np.testing.assert_allclose(found[:, :, :3], kernel * 0.75)
    assert model.get_layer("preprocessing").mean == (127.5,) * 4


def test_convert_command(files, tmp_path, plain):
    target = tmp_path / "w.weights.h5"
    run("convert", files["whole"], "--variant", "mnv2_d16_plain", "--output", target)
    kd.load_weights(plain, target)
    np.testing.assert_array_equal(
        plain.get_layer("decode_head-bottleneck-conv").kernel,
        golden_variables(PLAIN)["concat_projection/weights"],
    )
