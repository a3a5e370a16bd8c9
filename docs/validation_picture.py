"""The picture of validation blocks in docs/own-labels.md.

In a checkout: `python docs/validation_picture.py SCENE LABELS`, here with the mosaic of Banepa of
3072 x 4096 pixels and its outlines, whose source examples/banepa/README.md names.
"""

import pathlib
import sys

import numpy as np
from PIL import Image

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.overview import validation_overview
from keras_deeplab.data.files.polygon_labels import PolygonLabels
from keras_deeplab.data.source import DataSource

TARGET = pathlib.Path(__file__).parent / "images/validation.jpg"
CLASSES = ClassTable(("background", "building"))


def main(scene, labels):
    """Draws four blocks with a fifth of the ground, and their gap for crops of 256 pixels."""
    source = DataSource(
        images=(pathlib.Path(scene),), labels=PolygonLabels(pathlib.Path(labels), "class")
    )
    place = kd.data.ValidationPlace(fraction=0.2, blocks=4, gap=512)
    sources = source.by_place(place, CLASSES)
    pixels = {
        name: each.open_counted(CLASSES)[1].pixels.sum()
        for name, each in {"all": source, **sources}.items()
    }
    shares = {name: pixels[name] / pixels["all"] for name in sources}
    gap = 1 - sum(shares.values())
    print(f"train {shares['train']:.0%}, val {shares['val']:.0%}, gap {gap:.0%}")
    ((opened, ground),) = sources["val"].validation_scenes()
    picture = validation_overview(opened, ground, ImageFormat())
    Image.fromarray(np.rint(picture).astype(np.uint8)).save(TARGET, quality=85)


if __name__ == "__main__":
    main(*sys.argv[1:])
