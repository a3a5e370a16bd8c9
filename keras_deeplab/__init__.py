"""DeepLabV3+ model zoo for aerial and satellite imagery on Keras 3.

Names are imported when first used, so that `import keras_deeplab` takes no time and loads no
TensorFlow.
"""

import importlib
import sys

__version__ = "0.1.0"

_HOMES = {
    "CheckpointError": "keras_deeplab.checkpoints.errors",
    "DownloadError": "keras_deeplab.downloads.cache",
    "Recipe": "keras_deeplab.training.recipe",
    "build": "keras_deeplab.zoo.builder",
    "compile_for_training": "keras_deeplab.training.recipe",
    "evaluate": "keras_deeplab.evaluation.dataset",
    "info": "keras_deeplab.zoo.manifest",
    "list_models": "keras_deeplab.zoo.manifest",
    "list_variants": "keras_deeplab.models.variants",
    "load": "keras_deeplab.zoo.loader",
    "load_state_dict": "keras_deeplab.checkpoints.state_dict",
    "load_weights": "keras_deeplab.checkpoints.loading",
    "predict": "keras_deeplab.prediction.image",
    "read_torch_checkpoint": "keras_deeplab.checkpoints.pytorch.reader",
    "train": "keras_deeplab.training.loop.run",
}
_MODULES = {
    "callbacks": "keras_deeplab.training.callbacks",
    "data": "keras_deeplab.data",
    "metrics": "keras_deeplab.evaluation.metrics",
}

__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name):
    if name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'keras_deeplab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return [*globals(), *__all__]


if "keras" in sys.modules:
    # Registers the layers, so that keras.saving.load_model reads our .keras files.
    importlib.import_module("keras_deeplab.models.deeplab")
