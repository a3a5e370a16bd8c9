"""Layout of pickle and storages in a file: the zip format of PyTorch 1.6 and the legacy format."""

import struct
import zipfile
import zlib
from typing import Any, BinaryIO, Literal

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.pytorch.dtypes import DTYPES
from keras_deeplab.checkpoints.pytorch.memory_budget import MemoryBudget
from keras_deeplab.checkpoints.pytorch.pickle_machine import PickleMachine
from keras_deeplab.checkpoints.pytorch.pickled_values import CallTable, StandIn, shown
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
        data: The whole file.
        file: The same file, open for reading.
        calls: Calls that `PickleMachine` evaluates.
        budget: Memory budget of the file.

    Attributes:
        value: Content of the pickle.
        pickle_size: Its length in bytes.
        byteorder: `"<"` or `">"`.
    """

    def __init__(
        self, data: memoryview, file: BinaryIO, calls: CallTable, budget: MemoryBudget
    ) -> None:
        self._data = data
        self._budget = budget
        try:
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except _ZIP_ERRORS as error:
            raise CheckpointError(
                f"the zip archive is damaged or truncated ({error}). Download it again."
            ) from error
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise CheckpointError("the zip archive contains two entries with the same name.")
        pickles = [name for name in self._entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                f"the zip archive contains {len(pickles)} data.pkl entries, expected 1: not a "
                "PyTorch checkpoint."
            )
        self._folder = pickles[0].removesuffix("data.pkl")
        self.byteorder = self._read_byteorder()
        pickle = self._read(pickles[0])
        self.pickle_size = len(pickle)
        self.value, _ = PickleMachine(pickle, calls, storage_reference).run()

    def storage(self, key: str) -> memoryview:
        """Bytes of a storage; a view of the file if it is stored uncompressed."""
        return self._read(f"{self._folder}data/{key}")

    def _read_byteorder(self) -> Literal["<", ">"]:
        name = f"{self._folder}byteorder"
        if name not in self._entries:
            return "<"
        if self._entries[name].file_size <= MAX_BYTEORDER:
            order = bytes(self._read(name))
            if order in (b"little", b"big"):
                return "<" if order == b"little" else ">"
        raise CheckpointError("the entry 'byteorder' is neither 'little' nor 'big'.")

    def _read(self, name: str) -> memoryview:
        if name not in self._entries:
            raise CheckpointError(f"the zip archive has no entry {shown(name)}.")
        entry = self._entries[name]
        data = self._stored(entry)
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            self._budget.spend(entry.file_size, f"unpacking {shown(name)}")
            try:
                # One byte more than the header says, to detect a longer entry.
                data = memoryview(
                    zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.file_size + 1)
                )
            except zlib.error as error:
                raise CheckpointError(f"the entry {shown(name)} is damaged.") from error
        elif entry.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(
                f"the entry {shown(name)} has compression method {entry.compress_type}, which "
                "torch.save does not use."
            )
        if len(data) != entry.file_size or zlib.crc32(data) != entry.CRC:
            raise CheckpointError(
                f"the entry {shown(name)} does not match its size and checksum: the file is "
                "damaged. Download it again."
            )
        return data

    def _stored(self, entry: zipfile.ZipInfo) -> memoryview:
        """Bytes of an entry as stored, compressed or not."""
        start, end = entry.header_offset, entry.header_offset + _LOCAL_HEADER.size
        if start < 0 or end > len(self._data):
            raise CheckpointError(f"the entry {shown(entry.filename)} is outside the file.")
        header = _LOCAL_HEADER.unpack(self._data[start:end])
        signature, flags, method, name_size, extra_size = (header[i] for i in (0, 2, 3, 9, 10))
        if signature != ZIP_START or method != entry.compress_type:
            raise CheckpointError(
                f"the entry {shown(entry.filename)} has no valid header where the zip directory "
                "says."
            )
        if (flags | entry.flag_bits) & _ENCRYPTED:
            raise CheckpointError(f"the entry {shown(entry.filename)} is encrypted.")
        first = end + name_size + extra_size
        if first + entry.compress_size > len(self._data):
            raise CheckpointError(
                f"the entry {shown(entry.filename)} extends beyond the end of the file."
            )
        return self._data[first : first + entry.compress_size]


class LegacyContainer:
    """The format before PyTorch 1.6: several pickles, then the storages.

    Args:
        data: The whole file.
        calls: Calls that `PickleMachine` evaluates.

    Attributes:
        value: Content of the pickle with the state dict.
        pickle_size: Its length in bytes.
        byteorder: Always `"<"`.
    """

    byteorder: Literal["<", ">"] = "<"

    def __init__(self, data: memoryview, calls: CallTable) -> None:
        self._data = data
        self._references: dict[str, StorageReference] = {}
        machine = PickleMachine(data, calls, self._register)
        magic, position = machine.run()
        if magic != LEGACY_MAGIC:
            raise CheckpointError("the file is a pickle, but not one written by torch.save.")
        protocol, position = machine.run(position)
        if protocol != LEGACY_PROTOCOL:
            raise CheckpointError("the file has an unknown version of the legacy format.")
        _, position = machine.run(position)  # byte order and integer sizes of the writing machine
        start = position
        self.value, position = machine.run(start)
        self.pickle_size = position - start
        keys, position = machine.run(position)
        self._storages = self._locate(keys, position)

    def storage(self, key: str) -> memoryview:
        """Bytes of a storage; a view of the file."""
        if key not in self._storages:
            raise CheckpointError(f"the file has no storage {shown(key)}.")
        return self._storages[key]

    def _register(self, persistent_id: object) -> StorageReference | StandIn:
        reference = storage_reference(persistent_id)
        if isinstance(reference, StorageReference):
            known = self._references.setdefault(reference.key, reference)
            if (known.dtype, known.whole) != (reference.dtype, reference.whole):
                raise CheckpointError(
                    f"storage {shown(reference.key)} is used with two dtypes or sizes."
                )
            return reference
        if isinstance(persistent_id, tuple) and persistent_id[:1] == ("storage",):
            raise CheckpointError(f"the file has a storage of unknown type, {reference!r}.")
        return reference

    def _locate(self, keys: Any, position: int) -> dict[str, memoryview]:
        """Finds the bytes of each storage; its element count precedes them as int64."""
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise CheckpointError("the list of storages is damaged.")
        storages: dict[str, memoryview] = {}
        for key in keys:
            if key in storages or key not in self._references:
                raise CheckpointError(
                    f"storage {shown(key)} is listed twice, or listed but not used."
                )
            reference = self._references[key]
            start = position + 8
            count = int.from_bytes(self._data[position:start], "little", signed=True)
            end = start + reference.whole * DTYPES[reference.dtype].item_size
            if end > len(self._data):
                raise CheckpointError(
                    f"the file is truncated: storage {shown(key)} ends at byte {end}, the file at "
                    f"{len(self._data)}. Download it again."
                )
            if count != reference.whole:
                raise CheckpointError(
                    f"storage {shown(key)} has {count} elements; the pickle says {reference.whole}."
                )
            storages[key] = self._data[start:end]
            position = end
        return storages


def open_container(
    data: memoryview, file: BinaryIO, calls: CallTable, budget: MemoryBudget
) -> ZipContainer | LegacyContainer:
    """The container of a file, chosen by its first bytes.

    Args:
        data: The whole file.
        file: The same file, open for reading.
        calls: Calls that `PickleMachine` evaluates.
        budget: Memory budget of the file.

    Raises:
        CheckpointError: When the file has another format or is damaged.
    """
    if data[:4] == ZIP_START:
        return ZipContainer(data, file, calls, budget)
    if data[:1] == LEGACY_START:
        return LegacyContainer(data, calls)
    raise CheckpointError(
        f"the file is not a PyTorch checkpoint; it starts with {bytes(data[:16])!r}. It may be a "
        "web page or an incomplete download. Save files from before PyTorch 0.2 again."
    )
