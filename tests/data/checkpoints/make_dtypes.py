"""Writes dtypes_*.pth and their .npz: every tensor dtype in every format. Needs PyTorch.

Run in this folder: python make_dtypes.py
"""

import collections
import warnings

import numpy as np
import torch

KINDS = [
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "complex128",
    "complex64",
    "complex32",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]
WIDENED = {"bfloat16": torch.float32, "complex32": torch.complex64}


def state_dict():
    """Every bit pattern of the one-byte dtypes; small numbers of the others; views; Parameters."""
    tensors = collections.OrderedDict()
    for kind in KINDS:
        dtype = getattr(torch, kind)
        if dtype.itemsize == 1 and kind != "bool":
            tensors[f"module.{kind}"] = torch.arange(256, dtype=torch.uint8).view(dtype)
        else:
            values = torch.arange(12).reshape(3, 4) % (2 if kind == "bool" else 12)
            tensors[f"module.{kind}"] = values.to(torch.float32).to(dtype)
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    tensors["module.parameter"] = torch.nn.Parameter(base)
    tagged = torch.nn.Parameter(base[1].clone())
    tagged.origin = "an attribute"
    tensors["module.parameter_with_attribute"] = tagged
    tensors["module.sliced"] = base[1:, ::2, 3]
    tensors["module.permuted"] = base.permute(2, 0, 1)
    tensors["module.expanded"] = torch.tensor([[1.0], [2.0]]).expand(2, 5)
    tensors["module.expanded_bfloat16"] = torch.ones(1, dtype=torch.bfloat16).expand(7, 1)
    tensors["module.empty"] = torch.zeros(0, 3)
    tensors["module.scalar"] = torch.tensor(2.5)
    return tensors


def as_array(tensor):
    """What the reader should give."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind.startswith("float8"):
        tensor = tensor.to(torch.float32)
    return tensor.detach().to(WIDENED.get(kind, tensor.dtype)).numpy()


warnings.simplefilter("ignore")  # complex32 is experimental
tensors = state_dict()
for name, options in {
    "zip": {},
    "legacy": {"_use_new_zipfile_serialization": False},
    "zip_protocol4": {"pickle_protocol": 4},
    "zip_protocol5": {"pickle_protocol": 5},
    "legacy_protocol4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}.items():
    torch.save({"state_dict": tensors, "meta": {"sides": {1, 2}}}, f"dtypes_{name}.pth", **options)
np.savez_compressed(
    "dtypes_expected.npz",
    **{name.removeprefix("module."): as_array(tensor) for name, tensor in tensors.items()},
)
