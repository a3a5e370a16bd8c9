"""The picture of docs/own-labels.md: a scene and its polygons, burnt.

In a checkout: `python docs/own_labels_picture.py`.
"""

import pathlib

import keras_deeplab as kd

ROOT = pathlib.Path(__file__).parents[1]
BANEPA = ROOT / "examples/banepa"


def main():
    """Draws scene, labels and legend."""
    dataset = kd.data.from_rasters(
        BANEPA / "scene.tif", BANEPA / "buildings.geojson", class_field="class"
    )
    [(image, label)] = dataset.as_numpy_iterator()
    classes = kd.data.ClassTable(tuple(dataset.class_names), ((90, 90, 90), (230, 60, 40)))
    picture = kd.overlay(image, label, classes)
    picture.thumbnail((1100, 1100))
    picture.save(ROOT / "docs/images/own_labels.jpg", quality=85)


if __name__ == "__main__":
    main()
