"""Labelled images for training and evaluation.

With this package `tensorflow_datasets.load("potsdam")` finds the published datasets: their builders
register themselves when tensorflow-datasets is imported. `__init__.pyi` lists the public names.
"""

import importlib

import lazy_loader

from keras_deeplab._internal.import_hooks import when_imported

when_imported("tensorflow_datasets", lambda: importlib.import_module(f"{__name__}.datasets"))

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
