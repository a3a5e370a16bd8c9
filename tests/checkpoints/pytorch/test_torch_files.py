import itertools
import json
import logging
import pathlib
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from torch_pickles import (
    DATA,
    checkpoint,
    integer,
    legacy_bytes,
    storage,
    tensor,
    text,
    zip_bytes,
)

import keras_deeplab as kd

FOLDER = pathlib.Path(__file__).parents[2] / "data" / "checkpoints"
FILES = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))["files"]


def names(expectation):
    return [name for name, entry in FILES.items() if entry["expect"] == expectation]


def as_json(value):
    """Arrays as the manifest writes them."""
    if isinstance(value, np.ndarray):
        flat = [None if number != number else number for number in value.ravel().tolist()]
        return {"ndarray": flat, "shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


def assert_same(state_dict, expected):
    assert list(state_dict) == list(expected)
    for name, array in expected.items():
        assert state_dict[name].dtype == array.dtype, name
        np.testing.assert_array_equal(state_dict[name], array, err_msg=name)


def read(tmp_path, data):
    path = tmp_path / "made.pth"
    path.write_bytes(data)
    return kd.read_torch_checkpoint(path)


@pytest.mark.parametrize("name", names("load"))
def test_reference_files_load(name):
    found = kd.read_torch_checkpoint(FOLDER / name)
    entry = FILES[name]
    with np.load(FOLDER / entry["expected_npz"]) as expected:
        assert_same(found.state_dict, {key: expected[key] for key in entry["shapes"]})
    assert as_json(found.meta) == (entry["meta"] or {})


@pytest.mark.parametrize("name", names("reject"))
def test_reference_files_that_are_broken_are_refused_by_name(name):
    with pytest.raises(kd.CheckpointError, match=name):
        kd.read_torch_checkpoint(FOLDER / name)


@pytest.mark.parametrize("name", names("no_execution"))
def test_reference_files_that_call_os_system_load_without_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert b"system" in (FOLDER / name).read_bytes()
    found = kd.read_torch_checkpoint(FOLDER / name)
    assert len(found.state_dict) == 20
    stand_ins = [value for value in found.meta.values() if not isinstance(value, str | int)]
    assert "posix.system" in [getattr(value, "name", None) for value in stand_ins]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(FOLDER.glob("dtypes_*.pth")), ids=lambda path: path.stem)
def test_every_dtype_and_layout_in_every_format(path):
    found = kd.read_torch_checkpoint(path)
    with np.load(FOLDER / "dtypes_expected.npz") as expected:
        assert_same(found.state_dict, dict(expected))
    assert found.meta == {"sides": [1, 2]}
    assert not found.state_dict["float32"].flags.writeable


def test_the_reader_needs_no_torch_keras_or_tensorflow():
    code = (
        "import sys, keras_deeplab as kd\n"
        f"kd.read_torch_checkpoint({str(FOLDER / 'mmcv0x_zip.pth')!r})\n"
        "print({'torch', 'keras', 'tensorflow'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_compressed_archives(tmp_path):
    found = read(tmp_path, zip_bytes(checkpoint(), method=zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(found.state_dict["w"], [[1, 2], [3, 4]])


def test_archives_of_big_endian_machines(tmp_path):
    entries = {"byteorder": b"big", "data/0": struct.pack(">4f", 1, 2, 3, 4)}
    array = read(tmp_path, zip_bytes(checkpoint(), entries)).state_dict["w"]
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, [[1, 2], [3, 4]])


def test_files_of_python_2(tmp_path):
    pairs = b"](](U\x01w" + tensor() + b"ee"
    tensors = b"ccollections\nOrderedDict\n(" + pairs + b"tR"
    scalar = (
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02f8K\x00K\x01tR"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbU\x08" + struct.pack("<d", 0.1)
    )
    meta = b"}(" + text("score") + scalar + b"tRu"
    found = read(tmp_path, legacy_bytes(checkpoint(meta, tensors)))
    np.testing.assert_array_equal(found.state_dict["w"], [[1, 2], [3, 4]])
    assert found.meta == {"score": 0.1}


def test_storage_views_of_the_oldest_files(tmp_path):
    view = b"(" + text("view") + integer(1) + integer(3) + b"t"
    tensors = b"}" + text("w") + tensor((2,), (1,), 1, storage(rest=view)) + b"s"
    found = read(tmp_path, legacy_bytes(checkpoint(tensors=tensors)))
    np.testing.assert_array_equal(found.state_dict["w"], [3, 4])


def test_unknown_classes_become_stand_ins(tmp_path):
    made = b"cmmengine.config\nConfigDict\n)\x81}" + text("a") + b"K\x01sb"
    filled = b"cmmcv\nBuffer\n)R(K\x01K\x02e" + text("k") + b"K\x03s"
    meta = b"}(" + text("cfg") + made + text("buffer") + filled + b"u"
    found = read(tmp_path, zip_bytes(checkpoint(meta))).meta
    assert (found["cfg"].name, found["cfg"].state) == ("mmengine.config.ConfigDict", {"a": 1})
    assert repr(found["cfg"]) == "<stand-in for mmengine.config.ConfigDict>"
    assert found["buffer"].items == [1, 2, ["k", 3]]


def test_tensors_and_names_within_meta(tmp_path):
    meta = b"}(" + text("weights") + tensor() + text("dtype") + b"ctorch\nfloat32\nu"
    found = read(tmp_path, zip_bytes(checkpoint(meta))).meta
    np.testing.assert_array_equal(found["weights"], [[1, 2], [3, 4]])
    assert found["dtype"].name == "torch.float32"


def test_an_optimizer_is_left_unread(tmp_path):
    state = text("optimizer") + tensor(source=storage(key="missing"))
    pickle = checkpoint().replace(b"}(", b"}(" + state, 1)
    assert list(read(tmp_path, zip_bytes(pickle)).state_dict) == ["w"]


def tensors_under(*keys):
    """A dict of state dicts; the tensor in each is named after its key."""
    states = (text(key) + b"}" + text(f"{key}.w") + tensor() + b"s" for key in keys)
    return b"\x80\x02}(" + b"".join(states) + text("epoch") + b"K\x03u."


STATE_DICTS = ("state_dict", "model", "model_state_dict", "net", "network", "state_dict_ema")


@pytest.mark.parametrize("key", STATE_DICTS)
def test_state_dicts_under_other_keys(key, tmp_path, caplog):
    found = read(tmp_path, zip_bytes(tensors_under(key)))
    assert list(found.state_dict) == [f"{key}.w"] and found.meta == {}
    assert not caplog.records


def test_of_several_state_dicts_the_usual_one_is_read_and_named(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "keras_deeplab"):
        found = read(tmp_path, zip_bytes(tensors_under("state_dict_ema", "net", "model")))
    assert list(found.state_dict) == ["model.w"]
    message = (
        "made.pth: the weights under 'model' are read, not those under 'net', 'state_dict_ema'."
    )
    assert message in caplog.text
    for first, second in itertools.pairwise(STATE_DICTS):
        found = read(tmp_path, zip_bytes(tensors_under(second, first)))
        assert list(found.state_dict) == [f"{first}.w"]


@pytest.mark.parametrize(
    ("pickle", "reason"),
    [
        (b"\x80\x02cnets\nNet\n)\x81.", "content is <stand-in for nets.Net>, not a dict"),
        (
            b"\x80\x02}" + text("model") + b"}s.",
            r"neither tensors nor a state dict under .* found, only: model \(a value of type",
        ),
        (
            b"\x80\x02}(" + text("model") + b"cnets\nNet\n)\x81" + text("epoch") + b"K\x03u.",
            r"only: model \(<stand-in for nets\.Net>\), epoch \(a value of type int\)",
        ),
        (checkpoint(tensors=b"K\x01"), "'state_dict' is a value of type int"),
        (checkpoint(meta=b"K\x01"), "'meta' is a value of type int"),
        (checkpoint(tensors=b"}" + text("w") + b"K\x01s"), "w is a value of type int, not a plain"),
        (
            checkpoint(tensors=b"}(" + text("w") + tensor() + text("module.w") + tensor() + b"u"),
            "w occurs twice, with and without the prefix 'module.'",
        ),
        (
            checkpoint(tensors=b"}K\x01" + tensor() + b"s"),
            "the name of a tensor is a value of type",
        ),
    ],
)
def test_other_contents_are_refused_with_the_reason(pickle, reason, tmp_path):
    with pytest.raises(kd.CheckpointError, match=f"made.pth: .*{reason}"):
        read(tmp_path, zip_bytes(pickle))


def test_a_flipped_bit_in_a_weight_is_noticed(tmp_path):
    data = bytearray(zip_bytes(checkpoint()))
    data[data.index(DATA) + 3] ^= 1
    with pytest.raises(kd.CheckpointError, match=r"data/0 does not match its size and checksum"):
        read(tmp_path, bytes(data))


def test_missing_files_and_folders_are_named(tmp_path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(kd.CheckpointError, match=path.name):
            kd.read_torch_checkpoint(path)
