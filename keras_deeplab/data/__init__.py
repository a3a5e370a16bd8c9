"""Labelled images for training and evaluation."""

import importlib

_HOMES = {
    "ClassTable": "keras_deeplab.data.class_table",
    "RandomWindows": "keras_deeplab.data.windows",
    "augment": "keras_deeplab.data.batches",
    "from_csv": "keras_deeplab.data.folder",
    "from_folder": "keras_deeplab.data.folder",
    "read_class_table": "keras_deeplab.data.class_table",
    "training_batches": "keras_deeplab.data.batches",
}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_deeplab.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
