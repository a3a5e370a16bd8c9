"""DeepLabV3+ model zoo for aerial and satellite images on Keras 3.

The public names are listed in `__init__.pyi`. They are imported when first used, so that
`import keras_deeplab` takes no time and loads no TensorFlow.
"""

import importlib
import sys
import typing

import lazy_loader

from keras_deeplab._internal.import_hooks import when_imported

__version__ = "0.1.0"

_lazy_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> typing.Any:
    value = _lazy_name(name)
    _register()
    return value


def _register() -> None:
    """Registers our classes with Keras, so that keras.saving.load_model reads our .keras files.

    Does nothing without Keras, and while a module of ours is being imported, which may be one of
    those needed here: the next use of a public name makes up for it.
    """
    modules = list(sys.modules.items())
    own = [module for name, module in modules if name.startswith(f"{__name__}.")]
    if "keras" not in sys.modules or any(
        getattr(module.__spec__, "_initializing", False) for module in own
    ):
        return
    for module in ("models.deeplab", "training.losses", "training.optimizers", "zoo.builder"):
        importlib.import_module(f"{__name__}.{module}")


when_imported("keras", _register)  # whichever package is imported first
