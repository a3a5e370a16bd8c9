"""Checkpoint files built by hand, opcode by opcode, for the tests of the reader."""

import io
import struct
import zipfile

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
DATA = struct.pack("<4f", 1, 2, 3, 4)  # the one storage of a made file, key "0"


def text(value):
    """Opcodes of a string."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    """Opcodes of an integer of any size."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + struct.pack("<B", len(data)) + data


def pair(sizes):
    """Opcodes of a tuple of integers."""
    return b"(" + b"".join(map(integer, sizes)) + b"t"


def storage(count=4, key="0", kind="torch\nFloatStorage", rest=b"N"):
    """Opcodes of a storage; `rest` is the view of legacy files."""
    named = text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu")
    return b"(" + named + integer(count) + rest + b"tQ"


def tensor(shape=(2, 2), strides=(2, 1), offset=0, source=None):
    """Opcodes of a tensor."""
    args = (source or storage()) + integer(offset) + pair(shape) + pair(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + args + b"\x89" + ORDERED_DICT + b"tR"


def checkpoint(meta=b"}", tensors=None, name="w"):
    """A whole pickle with one tensor, or with the opcodes `tensors` as state dict."""
    tensors = ORDERED_DICT + text(name) + tensor() + b"s" if tensors is None else tensors
    members = text("meta") + meta + text("state_dict") + tensors
    return b"\x80\x02}(" + members + b"u."


def zip_bytes(pickle, entries=None, method=zipfile.ZIP_STORED):
    """A zip checkpoint around a pickle; `entries` replaces its storages."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickle)
        for name, data in ({"data/0": DATA} if entries is None else entries).items():
            archive.writestr(f"archive/{name}", data)
    return stream.getvalue()


def legacy_bytes(pickle, keys=("0",), tail=None):
    """A legacy checkpoint around a pickle; `tail` replaces count and bytes of its storage."""
    magic = b"\x80\x02" + integer(0x1950A86A20F9469CFC6C) + b"."
    head = magic + b"\x80\x02M\xe9\x03." + b"\x80\x02}."
    listed = b"\x80\x02](" + b"".join(map(text, keys)) + b"e."
    return head + pickle + listed + (struct.pack("<q", 4) + DATA if tail is None else tail)
