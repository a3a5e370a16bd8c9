"""The pictures of docs/data.md of a mask on another grid and of COCO annotations.

In a checkout: `python docs/data_picture.py`.
"""

import json
import pathlib
import tempfile

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

import keras_deeplab as kd
from keras_deeplab.data.drawing import blend, paint
from keras_deeplab.data.files.burning import in_pixels
from keras_deeplab.data.files.polygon_files import read_polygons

ROOT = pathlib.Path(__file__).parents[1]
SCENE, BUILDINGS = (ROOT / "examples/banepa" / name for name in ("scene.tif", "buildings.geojson"))
CLASSES = kd.data.ClassTable(("background", "building"), ((90, 90, 90), (230, 60, 40)))
SIZE = 400  # pixels of a side of the parts shown


def main():
    """Draws both pictures."""
    dataset = kd.data.from_rasters(SCENE, BUILDINGS, class_field="class", classes=CLASSES)
    image, label = next(dataset.as_numpy_iterator())
    with tempfile.TemporaryDirectory() as folder:
        draw_warped(pathlib.Path(folder), label)
        draw_coco(pathlib.Path(folder), image[:SIZE, :SIZE])


def draw_warped(folder, label):
    """A mask in degrees, coarser and smaller than the scene: as stored, and as it is read."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    with rasterio.open(SCENE) as scene:
        with rasterio.open(folder / "images/a.tif", "w", **scene.profile) as image:
            image.write(scene.read())
        profile = {**scene.profile, "count": 1, "photometric": None, "compress": None}
    with rasterio.open(folder / "whole.tif", "w", **profile) as mask:
        mask.write(label, 1)
    with (
        rasterio.open(folder / "whole.tif") as mask,
        WarpedVRT(mask, crs="EPSG:4326", resampling=Resampling.nearest) as degrees,
    ):
        step = 6
        rows, columns = degrees.height * 4 // 5 // step, degrees.width * 4 // 5 // step
        stored = degrees.read(1)[step // 2 :: step, step // 2 :: step][:rows, :columns]
        a, b, c, d, e, f, *_ = degrees.transform
        place = {"crs": "EPSG:4326", "transform": rasterio.Affine(a * step, b, c, d, e * step, f)}
    shape = {"driver": "GTiff", "dtype": "uint8", "count": 1, "height": rows, "width": columns}
    with rasterio.open(folder / "masks/a.tif", "w", **shape, **place) as mask:
        mask.write(stored, 1)
    dataset = kd.data.from_folder(folder / "images", folder / "masks", CLASSES.names)
    image, read = next(dataset.as_numpy_iterator())
    panels = [Image.fromarray(paint(stored, CLASSES)).resize((columns * 3, rows * 3), 0)]
    panels.append(Image.fromarray(blend(image, read, CLASSES)))
    save(panels, "warped_mask.jpg")


def draw_coco(folder, image):
    """Polygons of a COCO file over an image, and its labels."""
    Image.fromarray(image).save(folder / "a.png")
    with rasterio.open(SCENE) as scene:
        found = read_polygons(BUILDINGS, scene.crs, tolerance=0.01)
        polygons = in_pixels(found.geometries, scene.transform)
    annotations = [
        {"id": n, "image_id": 0, "category_id": 0, "segmentation": [ring.ravel().tolist()]}
        for n, ring in enumerate(np.asarray(each.exterior.coords) for each in polygons)
    ]
    coco = {
        "images": [{"id": 0, "file_name": "a.png", "width": SIZE, "height": SIZE}],
        "categories": [{"id": 0, "name": "building"}],
        "annotations": annotations,
    }
    (folder / "result.json").write_text(json.dumps(coco))
    (_, label), *_ = kd.data.from_coco(folder, folder / "result.json").as_numpy_iterator()
    save([Image.fromarray(image), Image.fromarray(blend(image, label, CLASSES))], "coco.jpg")


def save(panels, name):
    """Writes pictures next to each other."""
    height = max(panel.height for panel in panels)
    width = sum(panel.width for panel in panels) + 12 * (len(panels) - 1)
    canvas, left = Image.new("RGB", (width, height), "white"), 0
    for panel in panels:
        canvas.paste(panel, (left, 0))
        left += panel.width + 12
    canvas.thumbnail((1100, 1100))
    canvas.save(ROOT / "docs/images" / name, quality=85)


if __name__ == "__main__":
    main()
