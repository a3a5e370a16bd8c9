"""Labelled images for training and evaluation.

Importing this module registers the builders of the published datasets, so that
`tensorflow_datasets.load("potsdam")` finds them.
"""

import importlib
from typing import Any

import keras_deeplab.data.datasets  # noqa: F401, registers the builders

_HOMES = {
    "BadFiles": "keras_deeplab.data.files.bad_files",
    "ClassTable": "keras_deeplab.data.class_table",
    "RandomWindows": "keras_deeplab.data.files.windows",
    "augment": "keras_deeplab.data.augmentation.batches",
    "classes": "keras_deeplab.data.datasets.registry",
    "from_csv": "keras_deeplab.data.files.folder",
    "from_folder": "keras_deeplab.data.files.folder",
    "list_datasets": "keras_deeplab.data.datasets.registry",
    "load": "keras_deeplab.data.datasets.registry",
    "read_class_table": "keras_deeplab.data.class_table",
    "training_batches": "keras_deeplab.data.augmentation.batches",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'keras_deeplab.data' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
