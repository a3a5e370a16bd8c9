"""Made-up pictures with annotations in the three dialects of COCO that labelling tools export."""

import json
import pathlib

import numpy as np
from PIL import Image

SIZE = (40, 56)  # rows, columns
OBJECTS = 5  # per picture


def objects(seed, categories, count=OBJECTS):
    """`(category, top, bottom, left, right)` of rectangles, which may overlap."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        top, left = random.integers(0, SIZE[0] - 8), random.integers(0, SIZE[1] - 8)
        bottom, right = top + random.integers(3, 20), left + random.integers(3, 25)
        box = int(top), min(int(bottom), SIZE[0]), int(left), min(int(right), SIZE[1])
        found.append((str(random.choice(categories)), *box))
    return found


def label_of(found, names, fill=0):
    """The label map of rectangles, the later ones on top."""
    label = np.full(SIZE, fill, np.uint8)
    for category, top, bottom, left, right in found:
        label[top:bottom, left:right] = names.index(category)
    return label


def picture(path, seed, **options):
    """Writes noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, **options)


def polygon(top, bottom, left, right):
    """The ring of a rectangle."""
    return [left, top, right, top, right, bottom, left, bottom]


def runs(top, bottom, left, right):
    """The uncompressed run-length encoding of a rectangle, column by column."""
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": list(SIZE), "counts": [0, *counts] if flat[0] else counts}


def entry(number, image, category, box, **others):
    """An annotation with all keys that tools write."""
    top, bottom, left, right = box
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "segmentation": [polygon(*box)],
        "iscrowd": 0,
        **others,
    }


def size():
    return {"height": SIZE[0], "width": SIZE[1]}


def write_roboflow(folder, categories=("roof", "pool"), pictures=3, seed=0):
    """As Roboflow: the JSON beside the pictures, a category 0 that only groups the others.

    Returns:
        `(annotations file, labels by picture file)` with class 0 as background.
    """
    folder = pathlib.Path(folder)
    record = {
        "info": {"description": "Exported from roboflow.com"},
        "categories": [{"id": 0, "name": "aerial", "supercategory": "none"}],
        "images": [],
        "annotations": [],
    }
    for number, name in enumerate(categories, 1):
        record["categories"].append({"id": number, "name": name, "supercategory": "aerial"})
    labels = {}
    for number in range(pictures):
        path = folder / f"tile-{number}_jpg.rf.{number:032x}.jpg"
        picture(path, seed + number)
        record["images"].append({"id": number, "license": 1, "file_name": path.name, **size()})
        # The last one has no object.
        found = objects(seed + number, categories) if number < pictures - 1 else []
        for category, *box in found:
            key = categories.index(category) + 1
            record["annotations"].append(entry(len(record["annotations"]), number, key, box))
        labels[str(path)] = label_of(found, ["background", *categories])
    file = folder / "_annotations.coco.json"
    file.write_text(json.dumps(record))
    return file, labels


def write_cvat(folder, categories=("roof", "pool"), pictures=3, seed=10):
    """As CVAT: `annotations` beside `images`, sub-folders, masks as crowds in plain runs."""
    folder = pathlib.Path(folder)
    record = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "version": ""},
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(categories, 1)
        ],
        "images": [],
        "annotations": [],
    }
    labels = {}
    for number in range(1, pictures + 1):
        name = f"flight_{number % 2}/tile.png" if number < 3 else f"tile_{number}.png"
        path = folder / "images/default" / name
        picture(path, seed + number)
        record["images"].append({"id": number, "file_name": name, "license": 0, **size()})
        found = objects(seed + number, categories)
        for index, (category, *box) in enumerate(found):
            mask = {"segmentation": runs(*box), "iscrowd": 1} if index % 2 else {}
            key = categories.index(category) + 1
            others = {"attributes": {"occluded": False}, **mask}
            number_of = len(record["annotations"]) + 1
            record["annotations"].append(entry(number_of, number, key, box, **others))
        labels[str(path)] = label_of(found, ["background", *categories])
    file = folder / "annotations/instances_default.json"
    file.parent.mkdir()
    file.write_text(json.dumps(record))
    return file, labels


def write_label_studio(folder, categories=("roof", "pool"), pictures=3, seed=20):
    """As Label Studio: ids from 0, paths of its own with either slash, floats, no supercategory."""
    folder = pathlib.Path(folder)
    record = {
        "images": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories)],
        "annotations": [],
        "info": {"version": "1.0", "contributor": "Label Studio"},
    }
    prefixes = ("images/", "images\\", "..\\..\\label-studio\\media\\upload\\4\\")
    labels = {}
    for number in range(pictures):
        path = folder / "images" / f"{seed + number:08x}-tile.png"
        picture(path, seed + number)
        name = prefixes[number % 3] + path.name
        record["images"].append({**size(), "id": number, "file_name": name})
        found = objects(seed + number, categories)
        for category, *box in found:
            others = {"segmentation": [[float(value) for value in polygon(*box)]], "ignore": 0}
            key = categories.index(category)
            number_of = len(record["annotations"])
            record["annotations"].append(entry(number_of, number, key, box, **others))
        labels[str(path)] = label_of(found, ["background", *categories])
    file = folder / "result.json"
    file.write_text(json.dumps(record))
    return file, labels


def change(file, function):
    """Rewrites a COCO file by a function of its record."""
    record = json.loads(file.read_text())
    function(record)
    file.write_text(json.dumps(record))
