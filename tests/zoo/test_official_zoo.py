"""Entries and backbones of DeepLab's TensorFlow code, downloaded from a mirror over HTTP.

The archives hold golden weights, so the logits are known. Their hashes are not published.
"""

import logging
import re

import numpy as np
import pytest
from reference import (
    TOLERANCE,
    golden_tf,
    golden_variables,
    read,
    write_archive,
)

import keras_deeplab as kd
from keras_deeplab.downloads.cache import DownloadError
from keras_deeplab.downloads.fetch import fetch_unhashed
from keras_deeplab.models.variants import get_backbone
from keras_deeplab.zoo import manifest
from keras_deeplab.zoo.trained_weights import imagenet_backbone

PLAIN = "tf_variables_mobilenet_v2_21.json"
ENTRIES = {
    "mnv2_voc": "mobilenetv2_coco_voc_trainaug",
    "mnv2_voc_trainval": "mobilenetv2_coco_voc_trainval",
    "x65_voc": "xception65_coco_voc_trainaug",
    "x65_voc_trainval": "xception65_coco_voc_trainval",
    "mnv2_cityscapes": "mobilenetv2_coco_cityscapes_trainfine",
    "x65_cityscapes": "xception65_cityscapes_trainfine",
    "mnv2_ade20k": "mobilenetv2_ade20k_train",
    "x65_ade20k": "xception65_ade20k_train",
}
CLASSES = {"voc": 21, "cityscapes": 19, "ade20k": 151}


@pytest.fixture
def mirror(server, monkeypatch):
    monkeypatch.setenv("KERAS_DEEPLAB_MIRROR", server.address)
    return server


def serve(server, folder, variables):
    server.content = write_archive(folder / "golden.tar.gz", variables).read_bytes()


def check_logits(model, case):
    case = read(f"official/models/{case}.json")
    picture = golden_tf.make_picture(case["case"], *case["input"]["shape_nhwc"][:3])
    logits = np.asarray(model(picture, training=False))
    found = logits[tuple(np.array(case["logits"]["positions_nyx"]).T)]
    np.testing.assert_allclose(found, case["logits"]["values"], rtol=0, atol=TOLERANCE)


def test_load_fetches_and_converts(mirror, tmp_path, home, monkeypatch):
    variables = golden_variables(PLAIN)
    momentum = {f"{name}/Momentum": x for name, x in variables.items() if "/weights" in name}
    serve(mirror, tmp_path, variables | momentum | {"global_step": np.int64(30000)})
    check_logits(kd.load("mnv2_voc", resize_logits=False), "mnv2_plain_os16_c21_1x129x129")
    archive = home / "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz"
    assert mirror.seen == [(f"/{archive.name}", None)]
    archive.unlink()
    monkeypatch.setenv("KERAS_DEEPLAB_OFFLINE", "1")
    model = kd.load("mnv2_voc", output_stride=8, resize_logits=False)
    check_logits(model, "mnv2_plain_os8_c21_1x65x97")
    assert model.metadata.classes.names[:2] == ("background", "aeroplane")
    with pytest.raises(DownloadError, match="SHA-256 not published"):
        kd.load("mnv2_voc_trainval")


@pytest.mark.slow
def test_load_xception(mirror, tmp_path):
    serve(mirror, tmp_path, golden_variables("tf_variables_xception_65_21.json"))
    check_logits(kd.load("x65_voc", resize_logits=False), "xception65_os16_c21_1x65x97")


def test_a_damaged_download_is_not_kept(mirror, tmp_path, home):
    serve(mirror, tmp_path, {"global_step": np.int64(1)})
    mirror.content = mirror.content[:-20]
    with pytest.raises(kd.CheckpointError, match=r"2018_01_29\.tar\.gz is damaged"):
        kd.load("mnv2_voc")
    assert {path.suffix for path in home.iterdir()} == {".lock"}


def test_the_first_download_is_trusted_and_later_changes_are_noticed(server, home, caplog):
    url = f"{server.address}/a.tar.gz"
    checked = []
    path = fetch_unhashed(url, checked.append)
    assert fetch_unhashed(url, checked.append) == path
    assert path.read_bytes() == server.content
    assert len(server.seen) == len(checked) == 1
    path.write_bytes(b"other")
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        assert fetch_unhashed(url, checked.append).read_bytes() == server.content
    assert "deleting it and downloading it again" in caplog.text
    assert len(server.seen) == len(checked) == 2


def test_a_file_put_in_the_cache_is_checked(server, home):
    home.mkdir(exist_ok=True)
    (home / "a.tar.gz").write_bytes(b"mine")
    checked = []
    fetch_unhashed("http://example.com/a.tar.gz", checked.append)
    assert [path.read_bytes() for path in checked] == [b"mine"]


def test_without_hash_only_tls(monkeypatch):
    """The URL that the message names is the one that would be opened."""
    monkeypatch.setenv("KERAS_DEEPLAB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"from https://download\.example/a\.tgz"):
        fetch_unhashed("http://download.example/a.tgz", print)


def test_imagenet_starts_the_backbone(mirror, tmp_path):
    scope = "MobilenetV2/"
    variables = golden_variables(PLAIN)
    backbone = {name: x for name, x in variables.items() if name.startswith(scope)}
    serve(mirror, tmp_path, backbone | {f"{scope}Logits/weights": np.zeros(3, "float32")})
    model = kd.build("mnv2_d16", 3, weights="imagenet")
    assert mirror.seen == [("/mobilenet_v2_1.0_224.tgz", None)]
    layer = model.get_layer("backbone-expanded_conv-depthwise")
    expected = variables[f"{scope}expanded_conv/depthwise/depthwise_weights"]
    np.testing.assert_array_equal(layer.kernel, expected)
    serve(mirror, tmp_path, {"xception_65/entry_flow/conv1_1/weights": np.zeros(3, "float32")})
    assert imagenet_backbone("xception65").name == "deeplabv3_xception_2018_01_04.tar.gz"


def expanded(scales):
    """`"[0.5:0.25:1.75]"` as a list."""
    values = [float(value) for value in scales.strip("[]").split(":")]
    if len(values) == 1:
        return values
    start, step, stop = values
    return list(np.arange(start, stop + step / 2, step))


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_say_what_the_source_says(name):
    entry, zoo = kd.info(name), read("official/model_zoo.json")
    (source,) = (x for x in zoo["segmentation_checkpoints"] if x["name"] == ENTRIES[name])
    assert entry["weights"]["url"] == source["url"]
    assert entry["source"]["checkpoint"] == source["name"]
    flags = source["network_flags"]
    flags.pop("at_output_stride_8", None)
    assert entry["source"]["flags"] == flags
    for found, expected in zip(entry["source"]["evals"], source["evals"], strict=True):
        assert found["output_stride"] == expected["eval_output_stride"]
        assert found["scales"] == expanded(expected["eval_scales"])
        assert found["mIoU"] == expected["miou_percent"]
        assert found["pixel_accuracy"] == expected.get("pixel_accuracy_percent")
        assert (found["flip"], found["split"]) == (expected["flip"], expected["split"])
        figure = "mIoU_ms_flip" if expected["flip"] else "mIoU"
        protocol = entry["source"]["protocols"][figure]
        assert entry["source"][figure] == expected["miou_percent"]
        assert (protocol["scales"], protocol["flip"]) == (found["scales"], found["flip"])
    assert len(entry["classes"]) == CLASSES[entry["dataset"]["name"]] == source["num_classes"]
    backbone = get_backbone(entry["variant"])
    assert backbone.title.lower().replace("-", "") == re.sub("[-_]", "", source["backbone"].lower())
    assert entry["input"]["mean"] == list(backbone.mean)


def test_every_published_checkpoint_of_these_networks_has_an_entry():
    known = {"xception_65", "mobilenet_v2"}
    published = {
        source["name"]
        for source in read("official/model_zoo.json")["segmentation_checkpoints"]
        if isinstance(source["network_flags"], dict)
        and source["network_flags"]["model_variant"] in known
        and source["network_flags"].get("depth_multiplier", 1.0) == 1.0
    }
    assert set(ENTRIES.values()) == published
    zoo = manifest.default_zoo()
    assert {*zoo.names("mnv2_*"), *zoo.names("x65_*")} == set(ENTRIES)


def test_colours():
    """VOC's follow from the bits of the index; those of the others are told by a few."""
    voc = [tuple(each["rgb"]) for each in kd.info("x65_voc")["classes"]]
    for index, color in enumerate(voc):
        bits = [[index >> 3 * step + channel & 1 for step in range(3)] for channel in range(3)]
        assert color == tuple(sum(bit << 7 - step for step, bit in enumerate(x)) for x in bits)
    colors = {
        name: {each["name"]: each["rgb"] for each in kd.info(name)["classes"]}
        for name in ("x65_cityscapes", "x65_ade20k")
    }
    assert colors["x65_cityscapes"]["road"] == [128, 64, 128]
    assert list(colors["x65_cityscapes"])[-1] == "bicycle"
    assert list(colors["x65_ade20k"])[:3] == ["other", "wall", "building"]
    assert list(colors["x65_ade20k"])[-1] == "flag"
    assert colors["x65_ade20k"]["flag"] == [92, 0, 255]
