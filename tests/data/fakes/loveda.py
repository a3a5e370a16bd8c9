"""A fake of LoveDA: same archives and names, small pictures, no real data."""

import numpy as np

from fakes.pictures import png, scene, write, zipped

SCENES = {
    "Train": {"Urban": (1366, 1367), "Rural": (0, 1, 2)},
    "Val": {"Urban": (3514,), "Rural": (2522, 2523)},
}


def write_loveda(folder, *, size=96, seed=2):
    """Writes Train.zip and Val.zip; returns name to `(image, label)` with 255 for no data."""
    made = {}
    for split, kinds in SCENES.items():
        files = {}
        for kind, numbers in kinds.items():
            for number in numbers:
                image, label = scene([seed, number], size, size, 7)
                label[: size // 8] = 255
                raw = np.where(label == 255, 0, label.astype(int) + 1).astype(np.uint8)
                files[f"{split}/{kind}/images_png/{number}.png"] = png(image)
                files[f"{split}/{kind}/masks_png/{number}.png"] = png(raw)
                made[f"{split}/{kind}/{number}".lower()] = image, label
        write(folder, {f"{split}.zip": zipped(files)})
    return made
