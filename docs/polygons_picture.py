"""The picture of polygons in docs/scenes.md: over their scene, and exact next to simplified.

In a checkout, after the commands there: `python docs/polygons_picture.py exact.gpkg simple.gpkg`.
"""

import pathlib
import sys

import numpy as np
import pyogrio
import rasterio
import shapely
from PIL import Image, ImageDraw

import keras_deeplab as kd
from keras_deeplab.data.drawing import class_colors

ROOT = pathlib.Path(__file__).parents[1]
CROP = (330, 250, 522, 410)  # columns and rows of the enlarged part
ENLARGED = 4
GAP = 12


def read_polygons(path, scene):
    """Polygons in pixels of the scene, and the class of each."""
    _, _, geometry, (classes,) = pyogrio.raw.read(path, layer=path.stem, columns=["class_index"])
    a, _, c, _, e, f, *_ = scene.transform
    shapes = shapely.from_wkb(geometry)
    return shapely.transform(shapes, lambda points: (points - (c, f)) / (a, e)), classes


def draw(image, polygons, colors, left, top, scale, opacity):
    """The image, enlarged, with the polygons over it."""
    size = (image.shape[1] * scale, image.shape[0] * scale)
    picture = Image.fromarray(image).resize(size, Image.Resampling.NEAREST).convert("RGBA")
    for shape, index in zip(*polygons, strict=True):
        layer = Image.new("RGBA", size)
        canvas = ImageDraw.Draw(layer)
        for ring, alpha in ((shape.exterior, opacity), *((hole, 0) for hole in shape.interiors)):
            points = [((x - left) * scale, (y - top) * scale) for x, y in ring.coords]
            canvas.polygon(points, (*colors[index], alpha), (*colors[index], 255), 2)
        picture = Image.alpha_composite(picture, layer)
    return picture.convert("RGB")


def main():
    """Draws three panels."""
    colors = class_colors(kd.data.read_class_table(ROOT / "examples/dubai/classes.json")).tolist()
    with rasterio.open(ROOT / "examples/banepa/scene.tif") as scene:
        image = np.moveaxis(scene.read(), 0, -1)
        exact, simple = (read_polygons(pathlib.Path(path), scene) for path in sys.argv[1:3])
    left, top, right, bottom = CROP
    part = np.ascontiguousarray(image[top:bottom, left:right])
    whole = draw(image, simple, colors, 0, 0, 2, 90)
    panels = [draw(part, each, colors, left, top, ENLARGED, 60) for each in (exact, simple)]
    whole.thumbnail((10_000, 2 * panels[0].height + GAP))
    picture = Image.new("RGB", (whole.width + GAP + panels[0].width, whole.height), "white")
    picture.paste(whole, (0, 0))
    for row, panel in enumerate(panels):
        picture.paste(panel, (whole.width + GAP, row * (panel.height + GAP)))
    picture.thumbnail((1200, 1200))
    picture.save(ROOT / "docs/images/polygons.jpg", quality=80)


if __name__ == "__main__":
    main()
