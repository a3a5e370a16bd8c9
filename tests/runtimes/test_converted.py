"""The cache of converted models: new processes, damage, killed and parallel ones, its limit."""

import errno
import logging
import os
import shutil
import signal
import sys

import numpy as np
import pytest
from reference import TOLERANCE
from runtimes.runtime_cases import FILES, IMAGES, finish, run_python, start_python, write_run
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab._internal.files import file_sha256
from keras_deeplab.downloads.cache import DownloadError
from keras_deeplab.runtimes import converted
from keras_deeplab.runtimes.converted import converted_model, model_folder
from keras_deeplab.runtimes.registry import RUNTIMES, Runtime

CONTENT = b"weights" * 1000


def write(folder):
    (folder / "model.bin").write_bytes(CONTENT)
    (folder / "model.xml").write_text("<net/>")


def refuse(folder):
    pytest.fail("converted again")


def names(folder):
    """What is in a folder, apart from locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def convert(key, name="openvino"):
    with converted_model(key, name, write) as folder:
        assert (folder / "model.bin").read_bytes() == CONTENT
    return folder


# --- Reading ---

PREDICT = """
import sys
import numpy as np
import keras_deeplab as kd
_, run, images, *runtimes = sys.argv
for runtime in runtimes:
    predictor = kd.compile_for_inference(run, runtime, "float32", tile=40)
    np.save(f"{images}.{runtime}.npy", predictor(np.load(images)))
    loaded = {"tensorflow", "keras", "openvino_telemetry"} & set(sys.modules)
    assert not loaded, (runtime, loaded)
"""


def test_a_new_process_needs_neither_tensorflow_nor_keras(tmp_path, tiny_networks):
    images = IMAGES[:, :, :40]
    model = write_run(tmp_path / "run")
    for name in FILES:
        kd.compile_for_inference(tmp_path / "run", name, "float32", tile=40)
    assert "openvino_telemetry" not in sys.modules  # neither where it converts
    np.save(tmp_path / "images.npy", images)
    _, log = run_python(PREDICT, tmp_path / "run", tmp_path / "images.npy", *FILES)
    assert "converting" not in log and "cache" not in log
    for name in FILES:
        logits = np.load(tmp_path / f"images.npy.{name}.npy")
        expected = model(images.astype("float32"), training=False)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)


def test_converted_once(cache, caplog):
    folder = convert("model")
    assert folder == cache / "runtimes/model/openvino"
    assert names(folder) == ["SHA256SUMS", "model.bin", "model.xml"]
    with converted_model("model", "openvino", refuse) as again:
        assert again == folder
    assert names(folder.parent) == ["openvino"] and not caplog.records


# --- Damage ---


def truncate(folder):
    (folder / "model.bin").write_bytes(CONTENT[:-1])


def alter(folder):
    (folder / "model.xml").write_text("<nit/>")


def remove_file(folder):
    (folder / "model.xml").unlink()


def remove_sums(folder):
    (folder / "SHA256SUMS").unlink()


def empty_sums(folder):
    (folder / "SHA256SUMS").write_text("")


def garble_sums(folder):
    (folder / "SHA256SUMS").write_bytes(b"\xff\n")


def cut_sums(folder):
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text().splitlines(keepends=True)[0])


def list_a_file_elsewhere(folder):
    outside = folder.parents[2] / "outside"
    outside.touch()
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{file_sha256(outside)}  ../../../outside\n")


@pytest.mark.parametrize(
    "damage",
    [
        *(truncate, alter, remove_file),
        *(remove_sums, empty_sums, garble_sums, cut_sums, list_a_file_elsewhere),
    ],
)
def test_a_damaged_model_is_converted_again_and_said_once(damage, caplog):
    folder = convert("model")
    damage(folder)
    assert convert("model") == folder
    with converted_model("model", "openvino", refuse):
        pass
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder} is damaged: converting the model again."
    ]


def test_damaged_weights_do_not_reach_the_predictions(cache, caplog):
    model = tiny_model()
    expected = kd.compile_for_inference(model, "openvino", "float32")(IMAGES)
    (weights,) = cache.rglob("*.bin")
    content = bytearray(weights.read_bytes())
    content[100] ^= 64
    weights.write_bytes(content)
    logits = kd.compile_for_inference(model, "openvino", "float32")(IMAGES)
    np.testing.assert_array_equal(logits, expected)
    assert caplog.text.count("is damaged") == 1


KILLED = """
import os, signal
from keras_deeplab.runtimes.converted import converted_model
def convert(folder):
    (folder / "model.bin").write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)
with converted_model("model", "openvino", convert):
    pass
"""


def test_killed_processes_leave_one_folder_at_most(cache):
    for _ in range(2):
        process = start_python(KILLED)
        process.communicate(timeout=600)
        assert process.returncode == -signal.SIGKILL
    assert names(cache / "runtimes/model") == [".openvino.new"]
    convert("model")
    assert names(cache / "runtimes/model") == ["openvino"]


def test_a_conversion_that_fails_leaves_nothing(cache):
    def fail(folder):
        write(folder)
        raise ValueError("unknown layer")

    with pytest.raises(ValueError, match="unknown layer"), converted_model("model", "onnx", fail):
        pass
    assert names(cache / "runtimes/model") == []


# --- Processes at once ---

TWO = """
import pathlib, sys, time
from keras_deeplab.runtimes.converted import converted_model
def convert(folder):
    (folder / "model.bin").write_bytes(bytes(500))
    pathlib.Path(sys.argv[1], "running").touch(exist_ok=False)
    time.sleep(1)  # both processes have started by then
    (folder / "model.bin").write_bytes(bytes(1000))
print("ready", flush=True)
sys.stdin.read(1)
with converted_model("model", "openvino", convert) as folder:
    assert (folder / "model.bin").read_bytes() == bytes(1000)
"""


def test_two_processes_convert_once(cache, tmp_path):
    processes = [start_python(TWO, tmp_path) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("x")
        process.stdin.flush()
    for process in processes:
        finish(process)
    assert names(cache / "runtimes/model") == ["openvino"]
    with converted_model("model", "openvino", refuse):
        pass


COMPILE = """
import sys
import numpy as np
import keras_deeplab as kd
from tiny import tiny_networks
with tiny_networks():
    for runtime in sys.argv[3:]:
        logits = kd.compile_for_inference(sys.argv[1], runtime, "float32")(np.load(sys.argv[2]))
        print(*logits.ravel()[:50])
"""


@pytest.mark.slow
def test_two_processes_compile_the_same_model(cache, tmp_path):
    model = write_run(tmp_path / "run")
    np.save(tmp_path / "images.npy", IMAGES)
    expected = np.asarray(model(IMAGES.astype("float32"), training=False)).ravel()[:50]
    arguments = (COMPILE, tmp_path / "run", tmp_path / "images.npy", *FILES)
    for process in [start_python(*arguments) for _ in range(2)]:
        lines = finish(process)[0].splitlines()
        assert len(lines) == len(FILES)
        for line in lines:
            np.testing.assert_allclose(np.fromstring(line, sep=" "), expected, atol=TOLERANCE)
    (folder,) = (cache / "runtimes").iterdir()
    versions = {name: "-".join(RUNTIMES[name].versions.values()) for name in FILES}
    assert names(folder) == [
        f"litert-{versions['litert']}-40x48",
        f"onnx-{versions['onnx']}-40x48",
        f"openvino-{versions['openvino']}",
    ]


def test_other_versions_convert_again(cache, tmp_path, monkeypatch, tiny_networks):
    """An older OpenVINO may not read what a newer one wrote."""
    write_run(tmp_path / "run")
    kd.compile_for_inference(tmp_path / "run", "openvino", "float32", tile=32)
    monkeypatch.setattr(Runtime, "versions", property(lambda runtime: {"openvino": "99"}))
    kd.compile_for_inference(tmp_path / "run", "openvino", "float32", tile=32)
    (folder,) = (cache / "runtimes").iterdir()
    assert "openvino-99" in names(folder) and len(names(folder)) == 2


# --- A cache that cannot be written to ---


def test_without_a_cache_it_predicts_and_warns_once(tmp_path, monkeypatch, caplog):
    # Permissions do not bind root, which tests may run as; this stops anyone.
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_DEEPLAB_HOME", str(tmp_path / "file/cache"))
    model = tiny_model()
    expected = model(IMAGES.astype("float32"), training=False)
    for name in ("openvino", "onnx"):
        for _ in range(2):
            logits = kd.compile_for_inference(model, name, "float32")(IMAGES)
            np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
    (message,) = [record.getMessage() for record in caplog.records if "cache" in record.msg]
    assert message.startswith("The cache cannot be written to (") and str(tmp_path) in message
    assert "set KERAS_DEEPLAB_HOME to a writable folder" in message


def test_a_full_disk_is_no_obstacle(cache, caplog):
    def fill_the_disk(folder):
        if cache in folder.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(folder)

    with converted_model("model", "openvino", fill_the_disk) as folder:
        assert (folder / "model.bin").read_bytes() == CONTENT
    assert not folder.exists() and names(cache / "runtimes/model") == []
    assert "No space left on device" in caplog.text


def test_a_failed_download_is_no_error_of_the_cache(caplog):
    """The weights of published models are fetched while they are converted."""
    calls = []

    def download(folder):
        calls.append(folder)
        raise DownloadError("no network")

    with (
        pytest.raises(DownloadError, match="no network"),
        converted_model("model", "openvino", download),
    ):
        pass
    assert len(calls) == 1 and not caplog.records


# --- The limit ---


@pytest.fixture
def three(monkeypatch):
    """Three models, the oldest first, that fill the cache."""
    folders = [convert(key) for key in ("first", "second", "third")]
    for age, folder in zip((300, 200, 100), folders, strict=True):
        set_age(folder, age)
    size = sum(path.stat().st_size for path in folders[0].iterdir())
    monkeypatch.setattr(converted, "LIMIT", 3 * size)
    return folders


def set_age(folder, seconds):
    time = folder.stat().st_mtime - seconds
    os.utime(folder, (time, time))


def keys(cache):
    """The models that are in the cache."""
    return sorted(path.parent.parent.name for path in cache.rglob("SHA256SUMS"))


def test_the_least_recently_used_model_is_deleted(cache, three):
    with converted_model("first", "openvino", refuse):
        pass  # which makes it the last one used
    convert("fourth")
    assert keys(cache) == ["first", "fourth", "third"]
    convert("first", "onnx-64x64")
    assert keys(cache) == ["first", "first", "fourth"]


def test_the_model_in_use_stays(cache, three, monkeypatch):
    monkeypatch.setattr(converted, "LIMIT", 1)
    convert("fourth")
    assert keys(cache) == ["fourth"]


def test_what_killed_processes_left_counts(cache, three):
    left = cache / "runtimes/fifth/.onnx-64x64.new"
    left.mkdir(parents=True)
    write(left)
    set_age(left, 1000)
    convert("fourth")
    assert not left.exists() and keys(cache) == ["fourth", "second", "third"]


def test_a_model_that_another_process_deletes(cache, three, caplog):
    """Its files vanish while their sizes are added up."""
    (three[1] / "model.bin").unlink()
    (three[1] / "model.bin").symlink_to("vanished")
    assert convert("fourth") == model_folder("fourth") / "openvino"
    assert "fourth" in keys(cache) and not caplog.records


def test_a_deleted_model_is_converted_again(three, caplog):
    shutil.rmtree(three[0])
    with caplog.at_level(logging.INFO):
        assert convert("first") == three[0]
    assert "damaged" not in caplog.text
