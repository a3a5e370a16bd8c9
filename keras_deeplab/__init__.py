"""DeepLabV3+ model zoo for aerial and satellite images on Keras 3.

The public names are listed in `__init__.pyi`. They are imported when first used, so that
`import keras_deeplab` takes no time and loads no TensorFlow.
"""

import importlib
import sys

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

if "keras" in sys.modules:
    # Registers the layers, so that keras.saving.load_model reads our .keras files.
    importlib.import_module("keras_deeplab.models.deeplab")
