"""The picture of docs/scenes.md of an area of interest: its outline, and its map.

In a checkout, after the command of that section: `python docs/area_picture.py area.tif`.
"""

import pathlib
import sys

import numpy as np
import rasterio
import shapely
from PIL import Image, ImageDraw

import keras_deeplab as kd
from keras_deeplab.data.drawing import blend
from keras_deeplab.data.files.places import PixelTransform, grid_of
from keras_deeplab.data.files.polygon_files import read_polygons

ROOT = pathlib.Path(__file__).parents[1]
BANEPA = ROOT / "examples/banepa"
GAP = 12  # pixels between the parts


def outlined(image, polygons):
    """The image with the outlines of polygons in pixels."""
    picture = Image.fromarray(image)
    drawing = ImageDraw.Draw(picture)
    for polygon in shapely.get_parts(polygons):
        drawing.line(list(polygon.exterior.coords), fill=(255, 255, 255), width=5, joint="curve")
    return picture


def main():
    """Draws the scene with the area, and the map with the size of the area."""
    with rasterio.open(BANEPA / "scene.tif") as scene, rasterio.open(sys.argv[1]) as found:
        image, labels = np.moveaxis(scene.read(), 0, -1), found.read(1)
        transform = PixelTransform(grid_of(scene))
        polygons = read_polygons(BANEPA / "area.geojson", scene.crs, tolerance=0.01).geometries
        columns, rows = transform.positions(*np.array([found.bounds.left, found.bounds.top]))
    polygons = shapely.transform(polygons, transform.positions, interleaved=False)
    top, left = round(float(rows)), round(float(columns))
    part = image[top : top + labels.shape[0], left : left + labels.shape[1]]
    classes = kd.data.read_class_table(ROOT / "examples/dubai/classes.json")
    cropped = blend(part, labels, classes)
    cropped[labels == 255] = 255
    parts = [outlined(image, polygons), Image.fromarray(cropped)]
    picture = Image.new("RGB", (sum(p.width for p in parts) + GAP, parts[0].height), "white")
    picture.paste(parts[0], (0, 0))
    picture.paste(parts[1], (parts[0].width + GAP, top))
    picture.thumbnail((1100, 1100))
    picture.save(ROOT / "docs/images/area.jpg", quality=85)


if __name__ == "__main__":
    main()
