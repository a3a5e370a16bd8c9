"""Random damage to valid and hostile files: a checkpoint or a `CheckpointError`, nothing else."""

import collections
import contextlib
import functools
import os
import pathlib
import pickletools
import resource
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_pickles import DATA, checkpoint, legacy_bytes, tensor, text, zip_bytes

import keras_deeplab as kd

FOLDER = pathlib.Path(__file__).parents[2] / "data" / "checkpoints"
LEGACY = [
    path.read_bytes()
    for path in sorted(FOLDER.glob("*legacy*.pth"))
    if not path.name.startswith("broken")
]
PATHS = [
    path
    for path in sorted(FOLDER.glob("*.pth"))
    if zipfile.is_zipfile(path) and "_no_" not in path.name
]
ZIP = [path.read_bytes() for path in PATHS]
ROOM = 2**26  # bytes; the files have 12,000
MAX_SUMMED = 2**20  # bytes; an expanded tensor may be a view of more

# What a random pickle is made of, so that many of them get far.
PIECES = [
    *(opcode.code.encode("latin1") for opcode in pickletools.opcodes),
    *(b"K\x00", b"K\x01", b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"J\xff\xff\xff\xff", b"]", b"}"),
    *(text(word) for word in ("state_dict", "meta", "w", "latin1", "f8", "<", "module.w")),
    *(b"cos\nmkdir\n", b"ccollections\nOrderedDict\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n"),
    *(b"cnumpy.core.multiarray\nscalar\n", b"cnumpy._core.multiarray\n_reconstruct\n"),
    *(b"c_codecs\nencode\n", b"ctorch\nSize\n", b"ctorch._utils\n_rebuild_tensor_v2\n", tensor()),
    *(b"ctorch._utils\n_rebuild_parameter\n", b"ctorch\nFloatStorage\n", b"\x85R", b"\x86R"),
]

edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "replace", "insert", "delete", "repeat", "cut"]),
        st.integers(0, 2**16),
        st.integers(0, 2**7),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def edited(data, changes):
    """Data after some changes; positions wrap around."""
    data = bytearray(data)
    for kind, position, length, payload in changes:
        start = position % (len(data) + 1)
        if kind == "flip" and start < len(data):
            data[start] ^= 1 << length % 8
        elif kind == "replace":
            data[start : start + len(payload)] = payload
        elif kind == "insert":
            data[start:start] = payload
        elif kind == "delete":
            del data[start : start + length]
        elif kind == "repeat":
            data[start:start] = data[start : start + length]
        elif kind == "cut" and length < 16:
            del data[start:]
    return bytes(data)


@functools.cache
def archived(index):
    """Pickle and other entries of a zip file."""
    with zipfile.ZipFile(PATHS[index]) as archive:
        entries = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    return entries.pop("data.pkl"), entries


@contextlib.contextmanager
def little_memory():
    """Lets allocations of more than `ROOM` beyond what the process has fail."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def check(folder, data, outcomes):
    """Reads a file; any exception but `CheckpointError` is a failure, `MemoryError` included."""
    path = folder / "fuzzed.pth"
    path.write_bytes(data)
    try:
        with little_memory():
            found = kd.read_torch_checkpoint(path)
    except kd.CheckpointError as error:
        assert "fuzzed.pth: " in str(error)
        outcomes["refused"] += 1
    else:
        for array in found.state_dict.values():
            if array.nbytes < MAX_SUMMED:
                array.sum()
        outcomes["read"] += 1
    assert os.listdir(folder) == ["fuzzed.pth"]


def fuzz(folder, examples, derandomize):
    """Runs every kind of damage and returns how the files fared."""
    outcomes = collections.Counter()
    configure = settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    @configure
    @given(st.sampled_from(LEGACY + ZIP), edits)
    def damaged_files(data, changes):
        check(folder, edited(data, changes), outcomes)

    @configure
    @given(st.sampled_from(LEGACY + ZIP), st.sampled_from(LEGACY + ZIP), st.data())
    def spliced_files(first, second, draw):
        head = draw.draw(st.integers(0, len(first)))
        tail = draw.draw(st.integers(0, len(second)))
        check(folder, first[:head] + second[tail:], outcomes)

    @configure
    @given(st.integers(0, len(PATHS) - 1), edits)
    def damaged_pickles_with_right_checksums(index, changes):
        pickle, entries = archived(index)
        check(folder, zip_bytes(edited(pickle, changes), entries), outcomes)

    @configure
    @given(st.lists(st.sampled_from(PIECES), max_size=25), st.booleans(), st.booleans())
    def random_pickles(pieces, as_meta, is_zip):
        made = b"".join(pieces)
        pickle = checkpoint(meta=made) if as_meta else checkpoint(tensors=made)
        data = zip_bytes(pickle, {"data/0": DATA}) if is_zip else legacy_bytes(pickle)
        check(folder, data, outcomes)

    damaged_files()
    spliced_files()
    damaged_pickles_with_right_checksums()
    random_pickles()
    return outcomes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
def test_damaged_files_are_read_or_refused(folder):
    outcomes = fuzz(folder, 750, derandomize=True)
    assert outcomes["read"] > 100 and outcomes["refused"] > 750


@pytest.mark.slow
def test_many_damaged_files_are_read_or_refused(folder, capsys):
    outcomes = fuzz(folder, int(os.environ.get("FUZZ_EXAMPLES", "10000")), derandomize=False)
    with capsys.disabled():
        print(f"\nfuzzed files: {outcomes['read'] + outcomes['refused']}, {dict(outcomes)}")
