"""Where pickle and storages lie in a file: the zip format of PyTorch 1.6 and the one before."""

import struct
import zipfile
import zlib

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.pytorch.dtypes import DTYPES
from keras_deeplab.checkpoints.pytorch.pickle_machine import PickleMachine
from keras_deeplab.checkpoints.pytorch.pickled_values import shown
from keras_deeplab.checkpoints.pytorch.tensors import StorageReference, storage_reference

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80"  # a pickle of protocol 2 or later
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_BYTEORDER = 16  # bytes of the entry that says "little" or "big"

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 0x1
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    struct.error,
)


class ZipContainer:
    """The zip format: `<folder>/data.pkl` and `<folder>/data/<key>` per storage.

    Args:
        data: Memoryview of the whole file.
        file: The same file, open for reading.
        calls: Table of calls for `PickleMachine`.
        budget: `MemoryBudget` of the file.

    Attributes:
        value: What the pickle holds.
        pickle_size: Its length in bytes.
        byteorder: `"<"` or `">"`.
    """

    def __init__(self, data, file, calls, budget):
        self._data = data
        self._budget = budget
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except _ZIP_ERRORS as error:
            raise CheckpointError(
                f"the zip archive is damaged or cut short ({error}). Download it again."
            ) from error
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise CheckpointError("the zip archive holds two entries of the same name.")
        pickles = [name for name in self._entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                f"the zip archive holds {len(pickles)} data.pkl, so it is no PyTorch checkpoint."
            )
        self._folder = pickles[0].removesuffix("data.pkl")
        self.byteorder = self._read_byteorder()
        pickle = self._read(pickles[0])
        self.pickle_size = len(pickle)
        self.value, _ = PickleMachine(pickle, calls, storage_reference).run()

    def storage(self, key):
        """Bytes of a storage, a memoryview of the file where it is stored uncompressed."""
        return self._read(f"{self._folder}data/{key}")

    def _read_byteorder(self):
        name = f"{self._folder}byteorder"
        if name not in self._entries:
            return "<"
        if self._entries[name].file_size <= MAX_BYTEORDER:
            order = bytes(self._read(name))
            if order in (b"little", b"big"):
                return "<" if order == b"little" else ">"
        raise CheckpointError("the entry 'byteorder' is neither 'little' nor 'big'.")

    def _read(self, name):
        if name not in self._entries:
            raise CheckpointError(f"the zip archive lacks the entry {shown(name)}.")
        entry = self._entries[name]
        data = self._stored(entry)
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            self._budget.spend(entry.file_size, f"unpacking {shown(name)}")
            try:
                # One byte more than announced, to notice when there is more.
                data = memoryview(
                    zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.file_size + 1)
                )
            except zlib.error as error:
                raise CheckpointError(f"the entry {shown(name)} is damaged.") from error
        elif entry.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(
                f"the entry {shown(name)} is compressed by method {entry.compress_type}, which "
                "torch.save never uses."
            )
        if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
            raise CheckpointError(
                f"the entry {shown(name)} does not match its size and checksum: the file is "
                "damaged. Download it again."
            )
        return data

    def _stored(self, entry):
        """Bytes of an entry as they lie in the file."""
        start, end = entry.header_offset, entry.header_offset + _LOCAL_HEADER.size
        if start < 0 or end > len(self._data):
            raise CheckpointError(f"the entry {shown(entry.filename)} lies outside the file.")
        header = _LOCAL_HEADER.unpack(self._data[start:end])
        signature, flags, method, name_size, extra_size = (header[i] for i in (0, 2, 3, 9, 10))
        if signature != ZIP_START or method != entry.compress_type:
            raise CheckpointError(f"the entry {shown(entry.filename)} is not where it should be.")
        if (flags | entry.flag_bits) & _ENCRYPTED:
            raise CheckpointError(f"the entry {shown(entry.filename)} is encrypted.")
        first = end + name_size + extra_size
        if first + entry.compress_size > len(self._data):
            raise CheckpointError(f"the entry {shown(entry.filename)} reaches past the file.")
        return self._data[first : first + entry.compress_size]


class LegacyContainer:
    """The format before PyTorch 1.6: pickles one after the other, then the storages.

    Args:
        data: Memoryview of the whole file.
        calls: Table of calls for `PickleMachine`.

    Attributes:
        value: What the pickle holds.
        pickle_size: Its length in bytes.
        byteorder: `"<"`, on every machine.
    """

    byteorder = "<"

    def __init__(self, data, calls):
        self._data = data
        self._references = {}
        machine = PickleMachine(data, calls, self._register)
        magic, position = machine.run()
        if magic != LEGACY_MAGIC:
            raise CheckpointError("the file is a pickle, but not one of torch.save.")
        protocol, position = machine.run(position)
        if protocol != LEGACY_PROTOCOL:
            raise CheckpointError("the file is of an unknown version of the legacy format.")
        _, position = machine.run(position)  # byte order and integer sizes of the writing machine
        start = position
        self.value, position = machine.run(start)
        self.pickle_size = position - start
        keys, position = machine.run(position)
        self._storages = self._locate(keys, position)

    def storage(self, key):
        """Bytes of a storage, a memoryview of the file."""
        if key not in self._storages:
            raise CheckpointError(f"the file lacks the storage {shown(key)}.")
        return self._storages[key]

    def _register(self, persistent_id):
        reference = storage_reference(persistent_id)
        if isinstance(reference, StorageReference):
            known = self._references.setdefault(reference.key, reference)
            if (known.dtype, known.whole) != (reference.dtype, reference.whole):
                raise CheckpointError(f"storage {shown(reference.key)} is of two kinds.")
            return reference
        if isinstance(persistent_id, tuple) and persistent_id[:1] == ("storage",):
            raise CheckpointError(f"the file holds a storage of unknown kind, {reference!r}.")
        return reference

    def _locate(self, keys, position):
        """Each storage is its element count, as int64, and its bytes."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise CheckpointError("the list of storages is damaged.")
        storages = {}
        for key in keys:
            if key in storages or key not in self._references:
                raise CheckpointError(f"storage {shown(key)} is listed but not used, or twice.")
            reference = self._references[key]
            start = position + 8
            count = int.from_bytes(self._data[position:start], "little", signed=True)
            end = start + reference.whole * DTYPES[reference.dtype].item_size
            if end > len(self._data):
                raise CheckpointError(
                    f"the file is cut short: storage {shown(key)} ends at byte {end}, the file at "
                    f"{len(self._data)}. Download it again."
                )
            if count != reference.whole:
                raise CheckpointError(
                    f"storage {shown(key)} has {count} elements where {reference.whole} are "
                    "announced."
                )
            storages[key] = self._data[start:end]
            position = end
        return storages


def open_container(data, file, calls, budget):
    """The container that the first bytes of a file announce.

    Args:
        data: Memoryview of the whole file.
        file: The same file, open for reading.
        calls: Table of calls for `PickleMachine`.
        budget: `MemoryBudget` of the file.

    Raises:
        CheckpointError: When the file is of another kind, or damaged.
    """
    if data[:4] == ZIP_START:
        return ZipContainer(data, file, calls, budget)
    if data[:1] == LEGACY_START:
        return LegacyContainer(data, calls)
    raise CheckpointError(
        f"the file is no PyTorch checkpoint; it starts with {bytes(data[:16])!r}. A web page or "
        "an unfinished download? Files from before PyTorch 0.2 must be saved again."
    )
