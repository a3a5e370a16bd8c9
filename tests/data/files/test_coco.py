"""COCO files of three tools: their labels, what is wrong with them, how pictures are found."""

import json
import logging

import numpy as np
import pytest
from fakes import coco as fakes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as masks

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.files.coco import Annotation, Picture, is_coco, read_coco
from keras_deeplab.data.files.coco_labels import PictureLabels

DIALECTS = {
    "roboflow": fakes.write_roboflow,
    "cvat": fakes.write_cvat,
    "label studio": fakes.write_label_studio,
}
NAMES = ["background", "roof", "pool"]


@pytest.fixture(params=DIALECTS)
def exported(request, tmp_path):
    """`(folder, annotations file, labels by picture file)` of a dialect."""
    return tmp_path, *DIALECTS[request.param](tmp_path)


def labels(dataset):
    return [label for _, label in dataset.as_numpy_iterator()]


def test_each_dialect_gives_its_labels(exported):
    folder, file, expected = exported
    assert is_coco(file)
    dataset = kd.data.from_coco(folder, file)
    assert dataset.class_names == NAMES and len(dataset) == 3
    for (image, label), (path, wanted) in zip(dataset, expected.items(), strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(path).convert("RGB")))
        np.testing.assert_array_equal(label, wanted)
    windows = kd.data.RandomWindows(size=16, count=6)
    found = labels(kd.data.from_coco(folder, file, windows=windows))
    shapes = [fakes.SIZE] * 3
    for index, label in enumerate(found):
        number, row, column, height, width = windows.place(index, shapes)
        part = list(expected.values())[number][row : row + height, column : column + width]
        np.testing.assert_array_equal(label, part)


def test_classes_by_name(tmp_path):
    """The order of the table counts; without background in it, other pixels are ignored."""
    file, expected = fakes.write_label_studio(tmp_path)
    places = {"pool": 0, "roof": 2}
    found = labels(kd.data.from_coco(tmp_path, file, ["pool", "tree", "roof"]))
    for label, wanted in zip(found, expected.values(), strict=True):
        table = np.array([255, places["roof"], places["pool"]])
        np.testing.assert_array_equal(label, table[wanted])
    found = labels(kd.data.from_coco(tmp_path, file, ClassTable(("roof", "pool", "background"))))
    np.testing.assert_array_equal(found[0], np.array([2, 0, 1])[next(iter(expected.values()))])
    with pytest.raises(ValueError, match=r"not in the class table, .*annotations: pool \(\d+\)\."):
        kd.data.from_coco(tmp_path, file, ["background", "roof"])


def test_categories_of_the_file(tmp_path):
    """A category that groups others counts only where it has annotations of its own."""
    file, _ = fakes.write_roboflow(tmp_path)
    assert read_coco(file).categories == ("roof", "pool")
    fakes.change(file, lambda record: record["annotations"][0].update(category_id=0))
    assert read_coco(file).categories == ("aerial", "roof", "pool")
    fakes.change(file, lambda record: record["categories"][0].update(name="background"))
    dataset = kd.data.from_coco(tmp_path, file)
    assert dataset.class_names == NAMES  # one background, of the tool or not
    for name in ("roof", "pool"):  # each its own supercategory, as older Label Studio writes

        def own(record, name=name):
            for entry in record["categories"]:
                if entry["name"] == name:
                    entry["supercategory"] = name
            record["annotations"] = []

        fakes.change(file, own)
    assert set(read_coco(file).categories) >= {"roof", "pool"}
    assert (labels(kd.data.from_coco(tmp_path, file))[0] == 0).all()


def test_pictures_without_annotations_are_background(tmp_path, caplog):
    file, expected = fakes.write_roboflow(tmp_path)
    fakes.picture(tmp_path / "other.png", 0)
    with caplog.at_level(logging.WARNING):
        found = labels(kd.data.from_coco(tmp_path, file))
    assert (found[-1] == 0).all() and (list(expected.values())[-1] == 0).all()
    assert "1 of 3 pictures have no annotation: all of their pixels are background." in caplog.text
    assert (
        f"1 pictures are not in {file} and are not used:\n  {tmp_path / 'other.png'}" in caplog.text
    )
    found = labels(kd.data.from_coco(tmp_path, file, ["roof", "pool"]))
    assert (found[-1] == 255).all()


def test_a_split_chooses_pictures(tmp_path):
    file, expected = fakes.write_cvat(tmp_path)
    folder = tmp_path / "images/default"
    split = tmp_path / "val.txt"
    split.write_text("tile_3\nflight_0/tile.png\n")
    found = labels(kd.data.from_coco(folder, file, split=split))
    wanted = [expected[str(folder / f"{stem}.png")] for stem in ("flight_0/tile", "tile_3")]
    np.testing.assert_array_equal(found, wanted)
    fakes.picture(folder / "new.png", 0)
    split.write_text("new\n")
    with pytest.raises(ValueError, match=r"val.txt: pictures that are not in .*json:\n  new"):
        kd.data.from_coco(folder, file, split=split)


def test_pictures_that_cannot_be_found(tmp_path):
    file, _ = fakes.write_cvat(tmp_path)
    folder = tmp_path / "images"

    def message():
        with pytest.raises(ValueError) as caught:
            kd.data.from_coco(folder, file)
        return str(caught.value)

    (folder / "default/tile_3.png").rename(folder / "default/moved.png")
    assert f"pictures that cannot be found:\n  tile_3.png is not in {folder}" in message()
    fakes.change(file, lambda record: record["images"][2].update(file_name="elsewhere/tile.png"))
    found = message()
    assert "elsewhere/tile.png may be" in found and "flight_0/tile.png or" in found
    (folder / "default/flight_0/tile.png").unlink()
    assert "flight_1/tile.png are both" in message() or "is not in" in message()


def test_sizes_and_orientations(tmp_path):
    """The size must be that of the turned picture, as masks must have it."""
    file, expected = fakes.write_label_studio(tmp_path, pictures=1)
    ((path, wanted),) = expected.items()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    upright = Image.open(path)
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    (found,) = labels(kd.data.from_coco(tmp_path, file))
    np.testing.assert_array_equal(found, wanted)
    swapped = {"height": fakes.SIZE[1], "width": fakes.SIZE[0]}
    fakes.change(file, lambda record: record["images"][0].update(swapped))
    with pytest.raises(ValueError) as caught:
        kd.data.from_coco(tmp_path, file)
    assert "is (56, 40) as turned by its orientation 6 (stored (40, 56)), in" in str(caught.value)
    assert "correct the size there if the annotations fit the turned picture" in str(caught.value)
    fakes.change(file, lambda record: record["images"][0].update(width=57, height=41))
    with pytest.raises(ValueError, match=r"result.json \(57, 41\)"):
        kd.data.from_coco(tmp_path, file)
    fakes.change(file, lambda record: [record["images"][0].pop(k) for k in ("width", "height")])
    np.testing.assert_array_equal(labels(kd.data.from_coco(tmp_path, file)), [wanted])


def test_boxes_are_ignored_ground(tmp_path, caplog):
    """A box says only where an object is; polygons over it count."""
    file, expected = fakes.write_roboflow(tmp_path, pictures=2)
    box = {"segmentation": [], "bbox": [0, 0, 20.5, 30], "category_id": 1, "id": 99, "image_id": 0}
    fakes.change(file, lambda record: record["annotations"].append(box))
    with caplog.at_level(logging.WARNING):
        found = labels(kd.data.from_coco(tmp_path, file))
    assert "1 of 6 annotations are boxes without polygon or mask" in caplog.text
    wanted = next(iter(expected.values())).copy()
    wanted[:30, :21][wanted[:30, :21] == 0] = 255
    np.testing.assert_array_equal(found[0], wanted)
    fakes.change(file, lambda record: record.update(annotations=[box]))
    with pytest.raises(ValueError, match="its 1 annotations are boxes without polygons or masks"):
        kd.data.from_coco(tmp_path, file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 77}, "annotation 0: there is no picture with the id 77"),
        ({"category_id": 77}, "annotation 0: there is no category with the id 77"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "a polygon has an odd number of coordinates"),
        ({"segmentation": [], "bbox": None}, "has neither polygons nor a mask nor a box"),
        ({"segmentation": {"counts": [1]}}, 'its mask needs "size" [height, width] and "counts"'),
        (
            {"segmentation": {"size": [9, 8], "counts": "1"}},
            "its mask is 8 x 9, the picture 56 x 40",
        ),
        ({"segmentation": {"size": [40, 56], "counts": [5]}}, "add up to 5, not to 40 x 56"),
        ({"segmentation": 3}, "is not a COCO file"),
    ],
)
def test_damaged_annotations_are_listed(tmp_path, changes, message):
    file, _ = fakes.write_roboflow(tmp_path)
    fakes.change(file, lambda record: record["annotations"][0].update(changes))
    with pytest.raises(ValueError) as caught:
        read_coco(file)
    assert message in str(caught.value) and str(file) in str(caught.value)


def test_files_that_are_not_coco(tmp_path):
    for name, text, coco in (
        ("a.json", '{"images": [], "annotations": []}', True),
        ("b.json", '{"type": "FeatureCollection", "features": []}', False),
        ("c.json", "[1, 2]", False),
        ("d.json", "{", False),
        ("e.geojson", '{"images": [], "annotations": []}', False),
    ):
        (tmp_path / name).write_text(text)
        assert is_coco(tmp_path / name) is coco
    assert not is_coco(tmp_path / "missing.json")
    for name, message in (("a", "is not a COCO file"), ("d", "not valid JSON"), ("x", "No such")):
        with pytest.raises(ValueError, match=message):
            read_coco(tmp_path / f"{name}.json")
    (tmp_path / "a.json").write_text('{"images": [], "annotations": [], "categories": []}')
    fakes.picture(tmp_path / "a.png", 0)
    with pytest.raises(ValueError, match="lists no picture"):
        kd.data.from_coco(tmp_path, tmp_path / "a.json")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_polygons_have_the_pixels_of_pycocotools(data):
    """Painted in a part of the picture, and over its edges; a second ring adds to the first."""
    number = st.floats(-15, 45, allow_nan=False)
    rings = data.draw(
        st.lists(
            st.lists(number, min_size=6, max_size=12).filter(lambda r: len(r) % 2 == 0),
            min_size=1,
            max_size=2,
        )
    )
    shape = (24, 31)
    runs = masks.merge(masks.frPyObjects(rings, *shape))
    wanted = masks.decode(runs)
    polygons = Annotation("a", polygons=tuple(map(tuple, rings)))
    packed = {"size": list(shape), "counts": runs["counts"].decode()}
    for annotation in (polygons, Annotation("a", rle=packed)):
        picture = Picture("p", shape, (annotation,))
        label = PictureLabels("file", picture, shape, {"a": 1}, 0).read(None)
        np.testing.assert_array_equal(label, wanted)


def test_flat_polygons_cover_nothing(tmp_path, caplog):
    file, expected = fakes.write_roboflow(tmp_path)
    first = json.loads(file.read_text())["annotations"][0]
    flat = {**first, "id": 50, "segmentation": [[0, 0, 39, 39]]}
    fakes.change(file, lambda record: record["annotations"].append(flat))
    with caplog.at_level(logging.WARNING):
        found = labels(kd.data.from_coco(tmp_path, file))
    np.testing.assert_array_equal(found, list(expected.values()))
    assert "annotations have polygons of fewer than three points" in caplog.text


def test_unreadable_pictures_are_replaced(tmp_path):
    file, expected = fakes.write_cvat(tmp_path)
    path, *others = expected
    dataset = kd.data.from_coco(tmp_path, file, bad_files=(bad := kd.data.BadFiles()))
    open(path, "wb").close()
    found = labels(dataset)
    assert len(bad) == 1 and len(found) == 3
    np.testing.assert_array_equal(found[0], expected[others[0]])
    with pytest.raises(ValueError, match="cannot be read"):
        kd.data.from_coco(tmp_path, file)
