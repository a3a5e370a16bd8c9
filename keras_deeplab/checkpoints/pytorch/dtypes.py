"""Tensor dtypes of PyTorch and how to read them with NumPy; those NumPy lacks are widened."""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class TorchDtype:
    """How one dtype is stored in a file and what it is read as.

    Attributes:
        stored: NumPy dtype of the stored bits, without byte order.
        widened: NumPy dtype of the result, or None if it is `stored`.
        widen: Function from an array of `stored` to one of `widened` of the same length.
    """

    stored: str
    widened: str | None = None
    widen: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def item_size(self) -> int:
        """Bytes of one element in the file."""
        return np.dtype(self.stored).itemsize


def _widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    wide = bits.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def _widen_complex32(halves: np.ndarray) -> np.ndarray:
    return halves.astype(np.float32).reshape(-1).view(np.complex64)


def _float8(exponent_bits: int, bias: int, specials: Iterable[tuple[int, float]]) -> TorchDtype:
    """Widens by a table of all 256 values; `specials` are `(code, value)` pairs of both signs."""
    mantissa_bits = 7 - exponent_bits
    codes = np.arange(128)
    exponent, mantissa = codes >> mantissa_bits, (codes % 2**mantissa_bits) / 2**mantissa_bits
    subnormal = np.ldexp(mantissa, 1 - bias)
    positive = np.where(exponent == 0, subnormal, np.ldexp(1 + mantissa, exponent - bias))
    table = np.concatenate([positive, -positive])
    for code, value in specials:
        table[code] = value
    table = table.astype(np.float32)
    return TorchDtype("u1", "f4", lambda bits: table[bits])


def _both_signs(code: int, value: float) -> list[tuple[int, float]]:
    return [(code, value), (code + 128, -value)]


# float8_e8m0fnu: powers of two
_EXPONENTS = np.append(np.ldexp(np.float32(1), np.arange(255) - 127), np.float32(np.nan))

DTYPES = {
    "float64": TorchDtype("f8"),
    "float32": TorchDtype("f4"),
    "float16": TorchDtype("f2"),
    "bfloat16": TorchDtype("u2", "f4", _widen_bfloat16),
    "float8_e4m3fn": _float8(4, 7, _both_signs(0x7F, np.nan)),
    "float8_e5m2": _float8(
        5,
        15,
        [*_both_signs(0x7C, np.inf), *(p for c in (125, 126, 127) for p in _both_signs(c, np.nan))],
    ),
    "float8_e4m3fnuz": _float8(4, 8, [(0x80, np.nan)]),
    "float8_e5m2fnuz": _float8(5, 16, [(0x80, np.nan)]),
    "float8_e8m0fnu": TorchDtype("u1", "f4", lambda bits: _EXPONENTS[bits]),
    "complex128": TorchDtype("c16"),
    "complex64": TorchDtype("c8"),
    "complex32": TorchDtype("(2,)f2", "c8", _widen_complex32),
    "int64": TorchDtype("i8"),
    "int32": TorchDtype("i4"),
    "int16": TorchDtype("i2"),
    "int8": TorchDtype("i1"),
    "uint64": TorchDtype("u8"),
    "uint32": TorchDtype("u4"),
    "uint16": TorchDtype("u2"),
    "uint8": TorchDtype("u1"),
    "bool": TorchDtype("b1"),
}

# Names of the storage classes; dtypes without one are stored in an UntypedStorage of bytes.
_CLASSES = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "ComplexDouble": "complex128",
    "ComplexFloat": "complex64",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
    "Untyped": "uint8",
}
STORAGE_DTYPES = {
    f"{module}.{kind}Storage": dtype
    for kind, dtype in _CLASSES.items()
    for module in ("torch", "torch.cuda", "torch.storage")
}
