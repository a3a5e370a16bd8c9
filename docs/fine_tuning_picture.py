"""The picture of docs/train.md: an image, its mask, and its classes before and after fine-tuning.

In a checkout, after the first command of docs/train.md: `python docs/fine_tuning_picture.py mine`.
"""

import pathlib
import sys

import numpy as np
from PIL import Image

import keras_deeplab as kd
from keras_deeplab.data.drawing import blend

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = ROOT / "examples/dubai"
STEM = "tile2_part005"
WIDTH = 320  # pixels of each part


def part(image, labels, classes):
    """A part of the picture, scaled to its width."""
    picture = Image.fromarray(image if labels is None else blend(image, labels, classes))
    return picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))


def main():
    """Draws the parts side by side."""
    image = np.asarray(Image.open(EXAMPLES / f"images/{STEM}.jpg"))
    classes = kd.data.read_class_table(EXAMPLES / "classes.json")
    mask = classes.decode(np.asarray(Image.open(EXAMPLES / f"masks/{STEM}.png").convert("RGB")))
    predicted = [
        kd.predict(kd.load(model), image).argmax(-1).astype(np.uint8)
        for model in ("r18_dubai", sys.argv[1])
    ]
    for name, labels in zip(("before", "after"), predicted, strict=True):
        print(f"{name}: {np.mean(labels == mask):.1%} of the pixels as in the mask")
    parts = [part(image, labels, classes) for labels in (None, mask, *predicted)]
    picture = Image.new("RGB", (len(parts) * (WIDTH + 8) - 8, parts[0].height), "white")
    for index, each in enumerate(parts):
        picture.paste(each, (index * (WIDTH + 8), 0))
    picture.save(ROOT / "docs/images/fine_tuning.jpg", quality=88)


if __name__ == "__main__":
    main()
