"""Labelled images for training and evaluation.

Importing this module registers the builders of the published datasets, so that
`tensorflow_datasets.load("potsdam")` finds them. The public names are listed in `__init__.pyi`.
"""

import lazy_loader

import keras_deeplab.data.datasets  # noqa: F401, registers the builders

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
