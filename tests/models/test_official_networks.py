"""What the networks of DeepLab's TensorFlow code are made of, and what they work with."""

from unittest import mock

import keras
import numpy as np
import pytest
from in_process import run
from rasters import write_raster
from reference import narrow_network, read
from runtimes.foreign_readers import NAMES

import keras_deeplab as kd
from keras_deeplab.checkpoints.tensorflow.variables import official_weights
from keras_deeplab.models import xception
from keras_deeplab.models.layers import ResizeLike
from keras_deeplab.zoo.check_images import read_check_image
from keras_deeplab.zoo.run_folders import read_run


def aligned(features, size):
    """The oracle: interpolation of columns, then of rows, between centres of corner pixels."""
    for axis, new in ((1, size[0]), (2, size[1])):
        old = features.shape[axis]
        places = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        features = np.apply_along_axis(
            lambda row, places=places, old=old: np.interp(places, np.arange(old), row),
            axis,
            features,
        )
    return features


@pytest.mark.parametrize("size", [(5, 7), (17, 25), (3, 4), (1, 9), (1, 1)])
def test_aligned_resize(size):
    rng = np.random.default_rng(0)
    for old in ((5, 7), (1, 1), (4, 1)):
        features = rng.normal(size=(2, *old, 3)).astype("float32")
        reference = np.zeros((2, *size, 1), "float32")
        found = ResizeLike(align_corners=True)([features, reference])
        np.testing.assert_allclose(found, aligned(features, size), rtol=0, atol=1e-5)


def test_the_resize_keeps_its_argument_and_its_default():
    layer = ResizeLike(align_corners=True, name="up")
    assert ResizeLike.from_config(layer.get_config()).align_corners
    config = ResizeLike().get_config()
    del config["align_corners"]  # as files of earlier versions have it
    assert not ResizeLike.from_config(config).align_corners


@pytest.mark.parametrize(
    ("file", "variant"),
    [
        ("layers_mobilenet_v2_v3plus_os16", "mnv2_d16"),
        ("layers_mobilenet_v2_v3plus_os8", "mnv2_d8"),
        pytest.param("layers_xception_65_os16", "x65_d16", marks=pytest.mark.slow),
        pytest.param("layers_xception_65_os8", "x65_d8", marks=pytest.mark.slow),
    ],
)
def test_every_convolution_is_that_of_the_official_graph(file, variant):
    rows = read(f"official/{file}.json")["rows"]
    model = kd.build(variant, 21)
    layers = {
        name: model.get_layer(target.layer.replace(".", "-"))
        for name, target in official_weights(model)
        if name.endswith("weights")
    }
    left_out = {f"/middle_flow/block1/unit_{unit}/" for unit in range(2, 16)}
    named = {name for name in layers if not any(part in name for part in left_out)}
    assert named == {row["variable"] for row in rows}
    norms = {
        name: model.get_layer(target.layer.replace(".", "-"))
        for name, target in official_weights(model)
        if name.endswith("gamma")
    }
    for row in rows:
        layer = layers[row["variable"]]
        assert list(layer.kernel.shape) == row["kernel_shape"]
        assert layer.strides == (row["stride"], row["stride"])
        assert layer.dilation_rate == (row["dilation"], row["dilation"])
        if isinstance(row["bn_epsilon"], float):
            norm = norms[f"{row['variable'].rpartition('/')[0]}/BatchNorm/gamma"]
            assert norm.epsilon == row["bn_epsilon"]


def last_dilations(**options):
    """Of Xception's last block, in a network with one module in its middle."""
    blocks = [block._replace(modules=1) for block in xception.BLOCKS]
    with mock.patch.object(xception, "BLOCKS", blocks):
        image = keras.Input((64, 64, 3))
        model = keras.Model(image, xception.xception65(image, **options)[-1])
    names = [f"separable_conv{index}_depthwise" for index in (1, 2, 3)]
    prefix = "backbone-exit_flow-block2-unit_1-xception_module"
    return [model.get_layer(f"{prefix}-{name}").dilation_rate[0] for name in names]


def test_multi_grid_multiplies_the_rate_of_the_last_block():
    assert last_dilations(output_stride=16) == [2, 2, 2]
    assert last_dilations(output_stride=16, multi_grid=(1, 2, 4)) == [2, 4, 8]
    assert last_dilations(output_stride=8, multi_grid=(1, 2, 1)) == [4, 8, 4]


@pytest.mark.parametrize(
    ("variant", "options", "message"),
    [
        ("x65_d16", {"aux_head": True}, "with Xception-65 has no auxiliary head"),
        ("mnv2_d8_plain", {"aux_head": True}, "with MobileNetV2 has no auxiliary head"),
        ("x65_d8", {"multi_grid": (1, 2)}, "each of the 3 blocks"),
        ("mnv2_d16", {"multi_grid": (1, 2, 4)}, "MobileNetV2 has no multi-grid"),
    ],
)
def test_options_that_these_networks_do_not_have(variant, options, message):
    with pytest.raises(ValueError, match=message):
        kd.build(variant, 3, **options)


def test_openvino_aligns_corners_too():
    with narrow_network(width=0.1, aspp_channels=16, output_stride=16):
        model = kd.build("narrow", 3)
    image = np.random.default_rng(0).integers(0, 256, (1, 65, 81, 3), "uint8")
    predictor = kd.compile_for_inference(model, "openvino", "float32")
    np.testing.assert_allclose(predictor(image), model(image, training=False), atol=1e-4)


def test_train_takes_no_auxiliary_head_where_there_is_none(
    labelled_folder, tmp_path, tiny_networks
):
    folders = ["--images", labelled_folder / "images", "--masks", labelled_folder / "masks"]
    classes = ["--classes", labelled_folder / "classes.json"]
    size = ["--steps", 1, "--crop", 32, "--batch", 2]
    for variant, expected in (("mnv2_d16", False), ("r18_d16", True)):
        run("train", "--model", variant, *folders, *classes, *size, "--output", tmp_path / variant)
        assert read_run(tmp_path / variant)["settings"]["aux_head"] is expected


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["mnv2_d16", "mnv2_d16_plain", "x65_d16"])
def test_exports_scenes_and_fine_tuning(variant, labelled_folder, tmp_path):
    """`export` compares each file with Keras before it appears."""
    run_folder = tmp_path / "run"
    folders = ["--images", labelled_folder / "images", "--masks", labelled_folder / "masks"]
    classes = ["--classes", labelled_folder / "classes.json"]
    size = ["--steps", 2, "--crop", 64, "--batch", 2]
    run("train", "--model", variant, *folders, *classes, *size, "--output", run_folder)
    again = ["--init", run_folder, "--output", tmp_path / "again"]
    run("train", *folders, *classes, *size, *again)
    model = kd.load(tmp_path / "again")
    for name, file in NAMES.items():
        options = {"raw": True} if name == "onnx" else {}
        assert kd.export(model, tmp_path / file, name, tile=64, **options).path.exists()
    scene = np.random.default_rng(0).integers(0, 256, (150, 130, 3), "uint8")
    write_raster(tmp_path / "scene.tif", scene)
    maps = []
    for runtime in ("keras", "openvino"):
        predictor = kd.compile_for_inference(model, runtime, "float32")
        target = tmp_path / f"{runtime}.tif"
        options = {"window": 96, "overlap": 32, "progress": False}
        kd.predict_raster(predictor, tmp_path / "scene.tif", target, **options)
        maps.append(read_check_image(target))
    assert maps[0].shape[:2] == (150, 130)
    assert np.mean(maps[0] == maps[1]) > 0.99
