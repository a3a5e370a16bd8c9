"""What cannot be exported is refused before anything is written; files appear whole or not."""

import importlib.util
import os
import re
import sys

import numpy as np
import pytest
from runtimes.foreign_readers import NAMES
from runtimes.runtime_cases import PATHS, run_python
from tiny import tiny_model, with_statistics

import keras_deeplab as kd
from keras_deeplab.models.deeplab import DeepLabV3Plus
from keras_deeplab.runtimes import formats


@pytest.fixture(scope="module")
def model():
    return with_statistics(tiny_model(3))


def content(folder):
    """Path to bytes of every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", ["model", "model.pb", "model.h5", ".onnx"])
def test_the_suffix_names_no_format(model, tmp_path, path):
    message = r"suffix names no format. Name it \.onnx, \.xml, .*the format \(--format\): onnx, "
    with pytest.raises(ValueError, match=message):
        kd.export(model, tmp_path / path)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("model.onnx", {"format": "torch"}, r"format must be one of onnx, .*, got 'torch'"),
        ("model.onnx", {"format": "litert"}, r"format litert must end in \.tflite"),
        ("model.onnx", {"format": "tf_saved_model"}, "is a folder, so its name has no suffix"),
        ("model.xml", {"raw": True}, r"raw \(--raw\) is for onnx, got format openvino"),
        ("model.KERAS", {"format": "keras"}, r"format keras must end in \.keras"),
        ("model.ONNX", {"format": "tf_saved_model"}, "is a folder, so its name has no suffix"),
        ("model.onnx", {"precision": "int8"}, "int8 is for format openvino .*, got format onnx"),
        ("model.xml", {"precision": "int8", "dynamic": True}, "got format openvino, dynamic"),
        ("model.xml", {"precision": "bfloat16"}, "must be 'float32' or 'int8', got 'bfloat16'"),
        ("model.xml", {"calibrate": "scenes"}, "are for precision='int8'"),
        ("model.xml", {"accept_loss": True}, "are for precision='int8'"),
        ("model.onnx", {"tile": 31}, "tile must be 32 pixels or more, got 31"),
        ("folder.onnx", {}, r"folder\.onnx is a folder: give the name of the \.onnx file"),
        ("folder.onnx", {"format": "tf_saved_model"}, "is a folder, so its name has no suffix"),
        ("others", {"format": "tf_saved_model"}, "others is a folder of other files"),
        ("file", {"format": "tf_saved_model"}, "file is a file, but format tf_saved_model is"),
    ],
)
def test_options_that_do_not_fit(model, tmp_path, path, options, message):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others/notes.txt").write_text("notes")
    (tmp_path / "file").write_text("text")
    before = content(tmp_path)
    with pytest.raises(ValueError, match=message):
        kd.export(model, tmp_path / path, **options)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("r18_dubay", "Did you mean 'r18_dubai'"),
        ("model.onnx", "model.onnx is converted already"),
        ("missing.keras", "missing.keras does not exist"),
        (3, "Expected a Keras model, a zoo name"),
    ],
)
def test_what_is_not_a_model(tmp_path, source, message):
    with pytest.raises(ValueError, match=message):
        kd.export(source, tmp_path / "model.onnx")
    assert not content(tmp_path)


def test_a_model_of_probabilities(tmp_path, model):
    import keras

    outputs = keras.layers.Activation("softmax", name="logits-activation")(model.output)
    with pytest.raises(ValueError, match="ends in an activation"):
        kd.export(DeepLabV3Plus(model.input, outputs), tmp_path / "model.onnx")


@pytest.mark.parametrize("missing", ["tf2onnx", "ai_edge_litert"])
def test_a_missing_extra(model, tmp_path, monkeypatch, missing):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else found(name)
    )
    extra, path = {"tf2onnx": ("onnx", "m.onnx"), "ai_edge_litert": ("litert", "m.tflite")}[missing]
    message = re.escape(f'pip install "keras-deeplab[{extra}]"')
    with pytest.raises(ValueError, match=message):
        kd.export(model, tmp_path / path)
    kd.export(model, tmp_path / "m.keras", tile=32)  # for which nothing is missing


# --- Whole or not at all ---


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_a_file_is_replaced(model, tmp_path, name):
    path = tmp_path / NAMES[name]
    kd.export(model, path, name, tile=32)
    first = content(tmp_path)
    path.with_name(f"{path.name}.stac.json").write_text("of a model with metadata")
    kd.export(with_statistics(tiny_model(4, seed=1)), path, name, tile=32)
    second = content(tmp_path)
    assert set(second) == set(first) and second != first
    expected = {path, path.with_suffix(".bin")} if name == "openvino" else {path}
    assert set(tmp_path.iterdir()) == expected


@pytest.mark.parametrize("neighbour", [None, "<annotation/>", "not XML", "a network"])
def test_weights_of_something_else_are_kept(model, tmp_path, neighbour):
    """A `.bin` file that is not of the `.xml` file of that name, or of no such file."""
    path, weights = tmp_path / "m.xml", tmp_path / "m.bin"
    if neighbour == "a network":
        kd.export(tiny_model(2), path, tile=32)
    elif neighbour is not None:
        path.write_text(neighbour)
    weights.write_bytes(b"firmware" * 100_000)  # larger than the weights
    before = content(tmp_path)
    for options in ({}, {"precision": "int8"}):
        with pytest.raises(ValueError, match=f"^{weights} would be replaced .*move m.bin away"):
            kd.export(model, path, tile=32, **options)
    assert content(tmp_path) == before


def test_other_classes_than_those_of_keras(model, tmp_path, monkeypatch, name):
    """A converter that makes mistakes: the old file stays, and nothing new."""
    path = tmp_path / NAMES[name]
    kd.export(model, path, name, tile=32)
    before = content(tmp_path)
    module = formats.FORMATS[name].module
    convert, other = module.convert, with_statistics(tiny_model(3, seed=9))
    monkeypatch.setattr(
        module, "convert", lambda model, *args, **options: convert(other, *args, **options)
    )
    message = rf"^{path.name} is not written: \d+.\d+% .*, 99.9% are needed.* difference of "
    with pytest.raises(ValueError, match=message):
        kd.export(model, path, name, tile=32)
    assert content(tmp_path) == before


def test_a_file_that_does_not_run(model, tmp_path, monkeypatch):
    """Some converters write files that only their runtime refuses, when it computes."""
    module = formats.FORMATS["onnx"].module
    convert = module.convert
    monkeypatch.setattr(
        module, "convert", lambda model, size, *args, **options: convert(model, (64, 64), *args)
    )
    with pytest.raises(ValueError, match=r"^m.onnx is not written: it fails on images of \(96, "):
        kd.export(model, tmp_path / "m.onnx", tile=96, raw=True)
    assert not content(tmp_path)


FULL_DISK = """
import pathlib, resource, sys
sys.path.extend(sys.argv[2:])
from tiny import tiny_model
from runtimes.foreign_readers import NAMES
import keras_deeplab as kd
model = tiny_model(3)
folder = pathlib.Path(sys.argv[1])
kd.export(model, folder / "first.keras", tile=32)  # all is imported, and written to /tmp
for limit in (0, 3000):
    for name, file in NAMES.items():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            kd.export(model, folder / file, name, tile=32)
        except (OSError, ValueError) as error:
            message = str(error)
        else:
            message = "written"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        print(repr(message))
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_full_disk(tmp_path):
    """A limit of the size of files has the effect of a full disk on each writer."""
    output, _ = run_python(FULL_DISK, tmp_path, *PATHS)
    lines = output.splitlines()
    assert len(lines) == 2 * len(NAMES)
    for line, file in zip(lines, [*NAMES.values()] * 2, strict=True):
        assert f"{file} is not written" in line
        assert "\\n" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["first.keras"]


def test_a_folder_that_cannot_be_written_to(model, tmp_path, name):
    (tmp_path / "file").write_text("text")
    path = tmp_path / "file" / NAMES[name]
    with pytest.raises(OSError, match=f"{path} is not written: ") as caught:
        kd.export(model, path, name, tile=32)
    assert "\n" not in str(caught.value)
    if hasattr(os, "geteuid") and os.geteuid():
        (tmp_path / "closed").mkdir(0o500)
        with pytest.raises(OSError, match=r"is not written: .*Permission denied"):
            kd.export(model, tmp_path / "closed" / NAMES[name], name, tile=32)


def test_files_move_together(tmp_path):
    """An error while they move brings the old ones back."""
    from keras_deeplab._internal.files import replace_together

    weights, network = paths = [tmp_path / "m.bin", tmp_path / "m.xml"]
    weights.write_text("old weights")
    network.write_text("old network")
    before = content(tmp_path)
    with pytest.raises(FileNotFoundError), replace_together(paths) as folder:
        (folder / "m.bin").write_text("new weights")  # and no m.xml
    assert content(tmp_path) == before
    with pytest.raises(FileNotFoundError), replace_together(paths) as folder:
        (folder / "m.xml").write_text("new network")
    assert content(tmp_path) == before
    fresh = [tmp_path / "new/m.bin", tmp_path / "new/m.xml"]
    with pytest.raises(FileNotFoundError), replace_together(fresh) as folder:
        (folder / "m.bin").mkdir()
    assert not content(tmp_path / "new") and not list((tmp_path / "new").iterdir())
    item = tmp_path / "m.xml.json"
    item.write_text("of the old network")
    with pytest.raises(FileNotFoundError), replace_together(paths, stale=[item]) as folder:
        (folder / "m.bin").write_text("new weights")
    assert item.exists()
    with replace_together(paths, stale=[item, tmp_path / "none"]) as folder:
        for path in paths:
            (folder / path.name).write_text("new")
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bin", "m.xml", "new"]
    assert np.all([path.stat().st_mode & 0o044 for path in paths])  # as others may read them
