"""DeepLabV3+ model zoo for aerial and satellite images on Keras 3.

The public names are listed in `__init__.pyi`. They are imported when first used, so that
`import keras_deeplab` takes no time and loads no TensorFlow.
"""

import importlib

import lazy_loader

from keras_deeplab._internal.import_hooks import when_imported

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _register() -> None:
    for module in ("models.deeplab", "training.losses", "training.optimizers", "zoo.metadata"):
        importlib.import_module(f"{__name__}.{module}")


# So that keras.saving.load_model reads our .keras files, whichever package is imported first.
when_imported("keras", _register)
