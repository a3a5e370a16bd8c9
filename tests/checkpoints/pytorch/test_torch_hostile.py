"""Files made to do harm: each is refused or read without harm, in bounded memory."""

import builtins
import importlib
import io
import os
import pickle
import pickletools
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
from torch_pickles import (
    DATA,
    ORDERED_DICT,
    checkpoint,
    integer,
    legacy_bytes,
    pair,
    storage,
    tensor,
    text,
    zip_bytes,
)

import keras_deeplab as kd
from keras_deeplab.checkpoints.pytorch import pickle_machine
from keras_deeplab.checkpoints.pytorch.memory_budget import MemoryBudget

DEEP = 60_000
CALLED = b"c%b\n%b\n"
# Every opcode of Python's unpickler that the reader refuses, with operands it would accept.
REFUSED = {
    "INST": b"(ios\ngetpid\n",
    "OBJ": b"(cos\ngetpid\no",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pstorage\n",
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": b"N\x98",
    "DUP": b"N20",
    "INT": b"I1\n",
    "LONG": b"L1L\n",
    "FLOAT": b"F1\n",
    "STRING": b"S'a'\n",
    "UNICODE": b"Va\n",
    "GET": b"g0\n",
    "PUT": b"Np0\n",
    "LIST": b"(l",
    "DICT": b"(d",
    "unassigned": b"\xff",
}
# Lengths, counts and indices that no file backs.
CLAIMS = {
    "string": b"X\xff\xff\xff\xff",
    "string of 2**63": b"\x8d" + struct.pack("<Q", 2**63),
    "bytes": b"B\xff\xff\xff\xff",
    "bytes of 2**63": b"\x8e" + struct.pack("<Q", 2**63),
    "bytearray of 2**63": b"\x96" + struct.pack("<Q", 2**63),
    "Python 2 string": b"T\xff\xff\xff\xff",
    "integer": b"\x8b\xff\xff\xff\x7f",
    "integer of negative length": b"\x8b\xff\xff\xff\xff",
    "integer as key": b"}" + integer(2**80) + b"Ns",
    "frame": b"\x95" + struct.pack("<Q", 2**62),
    "memo": b"j\xff\xff\xff\xff",
    "unset memo": b"h\x07",
    "protocol": b"\x80\x09",
    "mark": b"t",
    "stack below a mark": b"N(0",
    "name without end": b"c" + b"a" * 3000,
    "name of a list": b"]]\x93",
    "long name": text("a" * 2000) + text("b") + b"\x93",
    "text": b"X\x01\x00\x00\x00\xff",
    "list as key": b"}]Ns",
    "deep tuple as key": b"}" + b")" + b"\x85" * 9 + b"Ns",
    "long tuple as key": b"}(" + b"N" * 99 + b"tNs",
    "key without value": b"}(Nu",
    "items of a number": b"K\x01NNs",
    "append to a number": b"K\x01Na",
    "call of a number": b"K\x01)R",
    "call with a list": b"ca\nb\n]R",
    "new object of a number": b"K\x01)\x81",
    "new object with keywords of a number": b"K\x01)}\x92",
    "attributes of a number": b"K\x01Nb",
    "values left over": b"NN",
}


class Harm:
    """Leaves a marker when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.fixture
def read(tmp_path):
    """Writes bytes to a file and reads it, in little time and memory.

    Everything that Python allocates counts; the memory map does not.
    """

    def read(data, memory=None):
        path = tmp_path / "evil.pth"
        path.write_bytes(data)
        kd.read_torch_checkpoint  # noqa: B018 - imports before memory counts
        tracemalloc.start()
        start = time.thread_time()  # others may keep the processor busy
        try:
            return kd.read_torch_checkpoint(path)
        except kd.CheckpointError as error:
            assert "evil.pth: " in str(error)
            assert len(str(error)) < 2500
            raise
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < (memory or 2 * MemoryBudget(len(data)).limit)
            assert time.thread_time() - start < 20

    return read


@pytest.fixture(params=[zip_bytes, legacy_bytes])
def packed(request):
    return request.param


def refused(read, data, reason=None):
    with pytest.raises(kd.CheckpointError, match=reason):
        read(data)


@pytest.mark.parametrize("name", REFUSED)
def test_opcodes_that_torch_never_writes(name, read, packed):
    refused(read, packed(checkpoint(meta=REFUSED[name])), "has opcode 0x")


def test_no_opcode_is_forgotten():
    handled = {*map(chr, pickle_machine._OPCODES), "."}
    known = {opcode.name: opcode.code in handled for opcode in pickletools.opcodes}
    assert {name for name, is_handled in known.items() if not is_handled} <= set(REFUSED)
    assert not any(known.get(name) for name in REFUSED)


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_that_nothing_backs(name, read, packed):
    refused(read, packed(checkpoint(meta=CLAIMS[name])))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_python_would_execute_what_the_reader_does_not(protocol, read, packed, tmp_path):
    marker = tmp_path / "marker"
    harm = pickle.dumps(Harm(marker), protocol)
    pickle.loads(harm)
    assert marker.exists()
    marker.rmdir()
    meta = b"}" + text("harm") + harm[2:-1].removeprefix(b"\x95" + harm[3:11]) + b"s"
    found = read(packed(checkpoint(meta)))
    assert found.meta["harm"].name.endswith(".mkdir")
    refused(read, packed(checkpoint(tensors=b"}" + text("w") + meta[8:])))
    refused(read, packed(harm))
    assert not marker.exists()


@pytest.mark.parametrize(
    "name",
    [
        (b"os", b"system"),
        (b"builtins", b"eval"),
        (b"builtins", b"exec"),
        (b"__builtin__", b"getattr"),
        (b"builtins", b"__import__"),
        (b"importlib", b"import_module"),
        (b"subprocess", b"Popen"),
        (b"torch.serialization", b"load"),
        (b"numpy.testing._private.utils", b"runstring"),
        (b"numpy", b"load"),
        (b"builtins", b"bytearray"),
        (b"collections", b"OrderedDict.fromkeys"),
        (b"a_module_that_is_not_there", b"f"),
    ],
    ids=lambda name: name[1].decode(),
)
@pytest.mark.parametrize("call", [b"(%btR", b"(%bt\x81", b"(%bt}\x92", b")R%bb"])
def test_calls_are_only_recorded(name, call, read, packed, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError(f"called with {args}")

    packed_file = packed(checkpoint(b"}" + text("x") + CALLED % name + call % text("1") + b"s"))
    with monkeypatch.context() as patched:
        for owner, function in (
            (os, "system"),
            (builtins, "eval"),
            (builtins, "exec"),
            (importlib, "import_module"),
        ):
            patched.setattr(owner, function, fail)
        found = read(packed_file)
    assert found.meta["x"].name == b".".join(name).decode()


@pytest.mark.parametrize(
    ("kinds", "depth"),
    [((b"]", b"a"), DEEP), ((b")", b"\x85"), DEEP), ((b"ca\nb\n)R", b"b"), DEEP // 3)],
    ids=["lists", "tuples", "stand-ins"],
)
def test_depth_bombs(kinds, depth, read, packed):
    start, end = kinds
    nested = start + end * depth if start == b")" else start * depth + end * (depth - 1)
    meta = b"}" + text("deep") + nested + b"s"
    limit = 200 * depth + 2**20  # Python's own size of that many values
    path_error = "nested more than 64 levels deep"
    with pytest.raises(kd.CheckpointError, match=path_error):
        read(packed(checkpoint(meta)), memory=limit)
    elsewhere = checkpoint().replace(b"}(", b"}(" + text("optimizer") + nested, 1)
    assert list(read(packed(elsewhere), memory=limit).state_dict) == ["w"]


def test_rebuilding_within_rebuilding(read, packed):
    function = b"ctorch._tensor\n_rebuild_from_type_v2\n"
    nested = function + b"(" + (function + b"ctorch\nTensor\n(") * 3000 + b"tN" * 3000 + b"tR"
    tensors = b"}(" + text("v") + tensor() + text("w") + nested + b"u"
    refused(read, packed(checkpoint(tensors=tensors)), "not a plain tensor")


def test_a_deep_tuple_is_no_key(read, packed):
    key = b")" + b"\x85" * DEEP
    with pytest.raises(kd.CheckpointError, match="a dict key is"):
        read(packed(checkpoint(b"}" + key + b"Ns")), memory=200 * DEEP)


def test_lists_that_double_at_each_level(read, packed):
    lists = b"]q\x010" + b"".join(b"](h%ch%ceq%c0" % (n, n, n + 1) for n in range(1, 60))
    lists += b"h\x3c"
    refused(read, packed(checkpoint(b"}" + text("x") + lists + b"s")), "repeats its parts")


def test_lists_that_contain_themselves(read, packed):
    refused(read, packed(checkpoint(b"}" + text("x") + b"]q\x01h\x01as")), "meta' ")


def test_too_many_opcodes(read, packed):
    refused(read, packed(checkpoint(b"N0" * 260_000 + b"}")), "more than 500000 opcodes")


def test_copies_of_a_memoised_value_are_counted(read, packed):
    start = text("a" * 100_000) + b"q\x010" + text("latin1") + b"q\x020](" + b"Nq\x03"
    encode = start + b"c_codecs\nencode\nq\x04" + b"h\x04h\x01h\x02\x86R" * 2000 + b"e"
    refused(read, packed(checkpoint(b"}" + text("x") + encode + b"s")), "a byte string needs")
    pairs = b"](" + b"".join(b"K%bN\x86" % bytes([n % 256]) for n in range(3000)) + b"eq\x010"
    dicts = pairs + b"](" + b"ccollections\nOrderedDict\nh\x01\x85R" * 3000 + b"e"
    refused(read, packed(checkpoint(b"}" + text("x") + dicts + b"s")), "a dict needs")


@pytest.mark.parametrize(
    "made",
    [
        tensor((5,), (1,)),
        tensor((2, 2), (2, 2)),
        tensor((4,), (1,), 1),
        tensor((1,), (1,), 2**62),
        tensor((4,), (1,), -1),
        tensor((4,), (-1,), 3),
        tensor((-1,), (1,)),
        tensor((2**62,), (1,)),
        tensor((2**40,), (0,)),
        tensor((2**31, 2**31, 4), (0, 0, 1)),
        tensor((2**600,), (0,)),
        tensor((2**62,) * 32, (0,) * 32),
        tensor((1,) * 33, (1,) * 33),
        tensor((2,), (1, 1)),
        tensor((0, 2**62, 2**62), (1, 1, 1)),
        tensor((0, 2**600), (1, 1)),
        tensor(source=storage(2**40)),
        tensor(source=storage(-4)),
        tensor(source=storage(5)),
        tensor(source=storage(key="../0")),
        tensor(source=storage(key="1")),
        tensor(source=storage(kind="torch\nQInt8Storage")),
        tensor(source=storage(kind="torch\nDoubleStorage")),
        tensor(source=storage(kind="os\nsystem")),
        tensor(source=b"N"),
        tensor(source=b"NQ"),
        tensor(source=storage(rest=b"(" + text("0") + integer(2) + integer(3) + b"t")),
        tensor(source=storage(rest=b"(" + text("0") + integer(-2) + integer(1) + b"t")),
        tensor(
            source=storage(kind="torch\nBFloat16Storage", count=8), shape=(2**40,), strides=(0,)
        ),
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch._utils\n_rebuild_parameter\n(NNNtR",
    ],
)
def test_tensors_that_do_not_fit_their_storage(made, read, packed):
    refused(read, packed(checkpoint(tensors=b"}" + text("w") + made + b"s")))


def test_expanded_tensors_are_counted_together(read, packed):
    one = tensor((50_000,), (0,))
    many = b"}(" + b"".join(text(f"w{n}") + one for n in range(50)) + b"u"
    refused(read, packed(checkpoint(tensors=many)), "an expanded tensor needs")


def test_numpy_values_that_do_not_fit_their_bytes(read, packed):
    dtype = b"cnumpy\ndtype\n(" + text("%b") + b"tR"
    for code in ("f8", "O8", "V99", "U999999", "i3", "f8,f8", "M8[s]", ">f8", "(9999999,)f8", ""):
        dtype = b"cnumpy\ndtype\n" + text(code) + b"\x85R"
        scalar = b"cnumpy.core.multiarray\nscalar\n" + dtype + b"C\x02ab\x86R"
        array = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x85R"
        for shape in ((2**40,), (3,), (-1,), (0, 2**600), (1,) * 99):
            state = b"(K\x01" + pair(shape) + dtype + b"\x89C\x10" + b"a" * 16 + b"tb"
            meta = b"}(" + text("a") + array + state + text("s") + scalar + b"u"
            found = read(packed(checkpoint(meta))).meta
            assert found["a"].name == "numpy.ndarray"
            assert found["s"].name == "numpy.core.multiarray.scalar"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"tail": struct.pack("<q", 2**40) + DATA},
            "has 1099511627776 elements; the pickle says 4",
        ),
        ({"tail": struct.pack("<q", -1) + DATA}, "has -1 elements"),
        ({"tail": struct.pack("<q", 4) + DATA[:-1]}, "is truncated"),
        ({"tail": b""}, "is truncated"),
        ({"keys": ("0", "0")}, "listed twice"),
        ({"keys": ("0", "7")}, "listed but not used"),
        ({"keys": ()}, "has no storage 0"),
    ],
)
def test_legacy_streams_that_contradict_their_pickle(change, reason, read):
    refused(read, legacy_bytes(checkpoint(), **change), reason)


def test_legacy_storages_of_two_kinds(read):
    other = tensor(source=storage(kind="torch\nIntStorage"))
    tensors = b"}(" + text("a") + tensor() + text("b") + other + b"u"
    refused(read, legacy_bytes(checkpoint(tensors=tensors)), "two dtypes or sizes")


def test_other_pickles_are_not_taken_for_checkpoints(read):
    refused(read, pickle.dumps({"state_dict": {}}, 2), "not one written by torch.save")


def test_zip_bombs(read):
    zeros = bytes(50 * 2**20)
    big = tensor((len(zeros) // 4,), (1,), 0, storage(len(zeros) // 4))
    pickled = checkpoint(tensors=b"}" + text("w") + big + b"s")
    refused(read, zip_bytes(pickled, {"data/0": zeros}, zipfile.ZIP_DEFLATED), "unpacking")
    refused(read, zip_bytes(checkpoint(b"N0" * 2**23 + b"}"), method=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            struct.pack("<2I", 16, 16),
            struct.pack("<2I", 2**31, 2**31),
            "beyond the end of the file",
        ),
        (struct.pack("<2I", 16, 16), struct.pack("<2I", 15, 15), "size and checksum"),
        (b"PK\x03\x04", b"PK\x03\x05", None),
        (b"PK\x01\x02", b"PK\x01\x03", "damaged"),
        (b"PK\x05\x06", b"PK\x05\x07", "damaged"),
        (b"data.pkl", b"data.pk_", "contains [01] data.pkl"),
        (b"data/0", b"data/1", None),
        (b"archive/data/0", b"archive/data.1", "has no entry"),
    ],
)
def test_zip_directories_that_lie(old, new, reason, read):
    data = zip_bytes(checkpoint())
    assert old in data
    refused(read, new.join(data.rsplit(old)), reason)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_torch_never_uses(method, read):
    refused(read, zip_bytes(checkpoint(), method=method), "has compression method")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_ambiguous_archives(read):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", checkpoint())
        archive.writestr("a/data.pkl", checkpoint())
    refused(read, stream.getvalue(), "two entries with the same name")
    refused(read, zip_bytes(checkpoint(), {"b/data.pkl": checkpoint()}), "contains 2 data.pkl")
    refused(read, zip_bytes(checkpoint(), {"byteorder": b"middle", "data/0": DATA}), "byteorder")


def test_storages_of_truth_values_are_checked(read, packed):
    flags = tensor((16,), (1,), 0, storage(16, kind="torch\nBoolStorage"))
    made = checkpoint(tensors=b"}" + text("w") + flags + b"s")
    data = packed(made)
    if packed is legacy_bytes:
        data = legacy_bytes(made, tail=struct.pack("<q", 16) + DATA)
    refused(read, data, "other than 0 and 1")


def test_messages_hold_no_control_characters(read, packed):
    name = "w\x1b[2J\n\ud800" + "x" * 1000
    tensors = ORDERED_DICT + text(name) + b"Ns"
    with pytest.raises(kd.CheckpointError) as caught:
        read(packed(checkpoint(tensors=tensors)))
    message = str(caught.value)
    assert message.isprintable() and message.isascii() and len(message) < 400
    np.testing.assert_equal(message.count("x" * 100), 0)


@pytest.mark.parametrize("build", [zip_bytes, legacy_bytes])
def test_every_truncation(build, read, tmp_path):
    data = build(checkpoint())
    for length in range(len(data)):
        refused(read, data[:length])
