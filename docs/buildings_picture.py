"""The picture at the top of README: a scene, and the outlines that were found in it.

In a checkout, after README's first command: `python docs/buildings_picture.py buildings.gpkg`.
"""

import pathlib
import sys

import numpy as np
import rasterio
import shapely
from PIL import Image, ImageDraw

from keras_deeplab.data.files.places import PixelTransform, grid_of
from keras_deeplab.data.files.polygon_files import read_polygons

ROOT = pathlib.Path(__file__).parents[1]
GAP = 12  # pixels between the panels
FILL, EDGE = (255, 196, 0, 90), (255, 221, 64, 255)


def main():
    """Draws two panels."""
    with rasterio.open(ROOT / "examples/banepa/scene.tif") as scene:
        image = Image.fromarray(np.moveaxis(scene.read(), 0, -1))
        positions = PixelTransform(grid_of(scene)).positions
        found = read_polygons(sys.argv[1], scene.crs, tolerance=0.01).geometries
    outlines = Image.new("RGBA", image.size)
    drawing = ImageDraw.Draw(outlines)
    for polygon in shapely.get_parts(shapely.transform(found, positions, interleaved=False)):
        drawing.polygon(list(polygon.exterior.coords), FILL, EDGE, 2)
        for hole in polygon.interiors:
            drawing.polygon(list(hole.coords), (0, 0, 0, 0), EDGE, 2)
    mapped = Image.alpha_composite(image.convert("RGBA"), outlines).convert("RGB")
    picture = Image.new("RGB", (2 * image.width + GAP, image.height), "white")
    picture.paste(image, (0, 0))
    picture.paste(mapped, (image.width + GAP, 0))
    picture.thumbnail((1400, 1400))
    picture.save(ROOT / "docs/images/buildings.jpg", quality=80)


if __name__ == "__main__":
    main()
