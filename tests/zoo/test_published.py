"""Published checkpoints end to end: served over HTTP, fetched, converted, cached, loaded.

The checkpoints hold golden weights, so the logits are known; the manifest's records are pointed at
them, as a mirror with other files would need.
"""

import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from reference import TOLERANCE, golden, golden_model, read, state_dict
from servers import Server, running

import keras_deeplab as kd
from keras_deeplab._internal import resources
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint
from keras_deeplab.downloads.cache import DownloadError
from keras_deeplab.zoo import manifest, trained_weights


def checkpoint(folder, depth, num_classes=6):
    """A full-size `.pth` file with golden weights."""
    path = folder / f"golden_r{depth}.pth"
    write_torch_checkpoint(path, state_dict(depth, num_classes), {"CLASSES": []})
    return path


def point(monkeypatch, folder, name, url, content):
    """Lets an entry of the zoo name another file."""
    digest = hashlib.sha256(content).hexdigest()
    weights = {"url": url, "sha256": digest[:8], "bytes": len(content)}
    change_zoo(monkeypatch, folder, "models", name, weights=default_weights(name) | weights)


def default_weights(name):
    return manifest.Zoo(resources.zoo_dir()).entry(name)["weights"]


def change_zoo(monkeypatch, folder, section, name, **changes):
    """Puts a zoo in place of the package's whose manifest has other values in one record."""
    content = json.loads((resources.zoo_dir() / "manifest.json").read_text())
    content[section][name] |= changes
    (folder / "manifest.json").write_text(json.dumps(content))
    zoo = manifest.Zoo(folder)
    monkeypatch.setattr(manifest, "default_zoo", lambda: zoo)


@pytest.fixture
def r18(server, tmp_path, monkeypatch):
    """`r18_potsdam` served with golden weights."""
    server.content = checkpoint(tmp_path, 18).read_bytes()
    point(monkeypatch, tmp_path, "r18_potsdam", f"{server.address}/golden_r18.pth", server.content)
    return server


def test_load_fetches_converts_and_needs_no_network_again(r18, home, monkeypatch):
    options = {"include_preprocessing": False}
    model = kd.load("r18_potsdam", **options)
    expected = golden_model(18, **options)
    for one, two in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(r18.seen) == 1
    (home / "golden_r18.pth").unlink()
    monkeypatch.setenv("KERAS_DEEPLAB_OFFLINE", "1")
    again = kd.load("r18_potsdam", aux_head=True, **options)
    expected = golden_model(18, aux_head=True, **options)
    for one, two in zip(again.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert len(r18.seen) == 1


@pytest.mark.slow
@pytest.mark.parametrize("depth", [18, 50, 101])
def test_logits_equal_the_reference(server, tmp_path, monkeypatch, depth):
    """Full-size files of every depth, through HTTP, to the reference's logits at 1e-4."""
    name, case = {
        18: ("r18_loveda", "r18_loveda_os8_1x128x128"),
        50: ("r50_potsdam", "r50_potsdam_os8_1x128x128"),
        101: ("r101_vaihingen", "r101_vaihingen_os8_1x128x128"),
    }[depth]
    case = read(f"models/{case}.json")
    server.content = checkpoint(tmp_path, depth, case["model"]["num_classes"]).read_bytes()
    point(monkeypatch, tmp_path, name, f"{server.address}/golden.pth", server.content)
    model = kd.load(name, include_preprocessing=False, aux_head=True, resize_logits=False)
    image = golden.make_input(case["case"], *case["input"]["shape_nhwc"][:3])
    outputs = model(image, training=False)
    for key, fixture in (("logits", "decode_logits"), ("aux_logits", "aux_logits")):
        n, y, x = np.array(case[fixture]["positions_nyx"]).T
        actual = np.asarray(outputs[key])[n, y, x]
        np.testing.assert_allclose(actual, case[fixture]["values"], rtol=0, atol=TOLERANCE)


def test_damaged_conversions_are_made_again(r18, home, caplog):
    zoo = manifest.default_zoo()
    target = trained_weights.trained_weights(zoo, "r18_potsdam")
    whole = target.read_bytes()
    target.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert trained_weights.trained_weights(zoo, "r18_potsdam").read_bytes() == whole
    trained_weights.stamp_of(target).unlink()
    assert trained_weights.trained_weights(zoo, "r18_potsdam") == target
    assert trained_weights.is_intact(target)
    assert len(r18.seen) == 1


def test_a_file_of_another_network_is_refused_and_not_kept(server, tmp_path, monkeypatch, home):
    server.content = checkpoint(tmp_path, 18, num_classes=4).read_bytes()
    point(monkeypatch, tmp_path, "r18_potsdam", f"{server.address}/golden_r18.pth", server.content)
    with pytest.raises(kd.CheckpointError, match="has 4 classes, the manifest 6"):
        kd.load("r18_potsdam")
    assert not list(home.glob("*.weights.h5"))


def test_the_wrong_bytes_are_refused(server, tmp_path, monkeypatch):
    content = checkpoint(tmp_path, 18).read_bytes()
    point(monkeypatch, tmp_path, "r18_potsdam", f"{server.address}/golden_r18.pth", content)
    server.content = content[:-1] + b"x"
    with pytest.raises(DownloadError, match=r"golden_r18\.pth"):
        kd.load("r18_potsdam")


def test_imagenet_starts_the_backbone(server, tmp_path, monkeypatch, caplog):
    backbone = {
        name.removeprefix("backbone."): array
        for name, array in state_dict(18).items()
        if name.startswith("backbone.")
    }
    path = tmp_path / "imagenet.pth"
    write_torch_checkpoint(path, backbone | {"fc.weight": np.zeros((2, 512), "float32")})
    server.content = path.read_bytes()
    record = {
        "url": f"{server.address}/imagenet.pth",
        "sha256": hashlib.sha256(server.content).hexdigest(),
        "bytes": len(server.content),
    }
    change_zoo(monkeypatch, tmp_path, "backbones", "resnet18_v1c", **record)
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        model = kd.build("r18_d16", 3, weights="imagenet")
    assert "the heads keep their weights" in caplog.text
    kernel = state_dict(18)["backbone.layer4.1.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("backbone-layer4-1-conv2").kernel, kernel)


@pytest.mark.parametrize("name", ["r18_loveda_urban", "r50_loveda_urban", "r50_loveda_rural"])
def test_cross_domain_entries_explain_themselves(name, tiny_networks):
    with pytest.raises(kd.CheckpointError, match="publishes no checkpoint of this task"):
        kd.load(name)


def test_a_cross_domain_entry_takes_weights(tmp_path):
    weights = checkpoint(tmp_path, 18, num_classes=7)
    assert kd.load("r18_loveda_urban", weights=weights).output_shape[-1] == 7


LOADER = """
import sys
from keras_deeplab.zoo.manifest import Zoo
from keras_deeplab.zoo.trained_weights import trained_weights
print(trained_weights(Zoo(sys.argv[1]), "r18_potsdam"))
"""


@pytest.mark.slow
def test_kills_never_leave_wrong_weights(tmp_path, home, monkeypatch):
    """Fifty times killed at a random moment; every file in place is right, and the last call ends.

    Between kills the cache is emptied now and then, so that download and conversion are both hit.
    """
    rng = random.Random(0)
    with running(Server()) as server:
        server.content = checkpoint(tmp_path, 18).read_bytes()
        server.pause = 0.02  # a second or so for the whole file
        url = f"{server.address}/g.pth"
        point(monkeypatch, tmp_path, "r18_potsdam", url, server.content)
        command = [sys.executable, "-c", LOADER, tmp_path]
        expected = golden_model(18, aux_head=True).get_weights()
        target = manifest.cached_weights("r18_potsdam", manifest.info("r18_potsdam"))
        finished = 0
        for _ in range(50):
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
            )
            time.sleep(rng.uniform(4, 14))
            process.send_signal(signal.SIGKILL)
            process.wait()
            if (home / "g.pth").exists():
                assert (home / "g.pth").read_bytes() == server.content
            if trained_weights.is_intact(target):
                finished += 1
                model = kd.build("r18_d8", 6, aux_head=True, weights=target)
                for one, two in zip(model.get_weights(), expected, strict=True):
                    np.testing.assert_array_equal(one, two)
                for path in (target, trained_weights.stamp_of(target), home / "g.pth"):
                    if rng.random() < 0.7:
                        path.unlink(missing_ok=True)
        subprocess.run(command, check=True, env=os.environ, capture_output=True)
        assert trained_weights.is_intact(target)
        print(f"50 kills, {finished} of them after the end")
