import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable, read_class_table

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples/dubai"


def load(folder, **options):
    table = read_class_table(folder / "classes.json")
    return kd.data.from_folder(folder / "images", folder / "masks", table, **options)


def test_pairs_of_different_sizes(labelled_folder):
    pairs = list(load(labelled_folder).as_numpy_iterator())
    assert [image.shape for image, _ in pairs] == [(64, 80, 3), (48, 48, 3), (70, 50, 3)]
    for index, (image, label) in enumerate(pairs):
        assert image.dtype == label.dtype == np.uint8
        assert image.shape[:2] == label.shape
        colors = np.asarray(Image.open(labelled_folder / f"masks/scene_{index}.png"))
        expected = np.where(colors[..., 0] == 255, 0, np.where(colors[..., 2] == 255, 1, 255))
        np.testing.assert_array_equal(label, expected)


def test_palette_and_index_masks_and_tif_jpg_images(labelled_folder):
    """Every way to store the same labels gives the same labels."""
    expected = [label for _, label in load(labelled_folder).as_numpy_iterator()]
    masks = labelled_folder / "masks"
    Image.open(masks / "scene_0.png").convert("P", palette=Image.Palette.ADAPTIVE).save(
        masks / "scene_0.png"
    )
    Image.fromarray(expected[1]).save(masks / "scene_1.png")
    (masks / "scene_2.png").rename(masks / "other.png")
    Image.open(masks / "other.png").save(masks / "scene_2.tif")
    (masks / "other.png").unlink()
    images = labelled_folder / "images"
    Image.open(images / "scene_0.png").save(images / "scene_0.jpg")
    Image.open(images / "scene_1.png").save(images / "scene_1.TIF")
    for index in (0, 1):
        (images / f"scene_{index}.png").unlink()
    found = [label for _, label in load(labelled_folder).as_numpy_iterator()]
    for label, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(label, other)


def test_names_alone_read_index_and_palette_masks(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "images/a.png")
    labels = np.arange(1600, dtype=np.uint8).reshape(40, 40) % 2
    mask = Image.fromarray(labels).convert("P")
    mask.putpalette([9, 9, 9, 200, 0, 0])
    mask.save(tmp_path / "masks/a.png")
    dataset = kd.data.from_folder(tmp_path / "images", tmp_path / "masks", ["land", "water"])
    np.testing.assert_array_equal(next(iter(dataset))[1], labels)


def _drop_mask(folder):
    (folder / "masks/scene_1.png").unlink()


def _drop_image(folder):
    (folder / "images/scene_1.png").unlink()


def _resize_mask(folder):
    Image.new("RGB", (10, 12)).save(folder / "masks/scene_1.png")


def _color(folder):
    for index in (0, 2):
        path = folder / f"masks/scene_{index}.png"
        mask = np.array(Image.open(path))
        mask[5, 6] = (7, 8, 9)
        Image.fromarray(mask).save(path)


def _twice(folder):
    Image.open(folder / "images/scene_1.png").save(folder / "images/scene_1.jpg")


def _broken(folder):
    (folder / "images/scene_1.png").write_bytes(b"no image")


def _jpeg(folder):
    (folder / "masks/scene_1.png").unlink()
    Image.new("RGB", (48, 48)).save(folder / "masks/scene_1.jpg")


@pytest.mark.parametrize(
    ("damage", "messages"),
    [
        (_drop_mask, ["scene_1.png has no mask in"]),
        (_drop_image, ["scene_1.png has no image in"]),
        (_resize_mask, ["scene_1.png is (48, 48), its mask", "is (10, 12)"]),
        (_color, ["scene_0.png", "scene_2.png", "(7, 8, 9) in 1 pixels", "row 5, column 6"]),
        (_twice, ["share a stem"]),
        (_broken, ["scene_1.png: cannot be read as a raster"]),
        (_jpeg, ["scene_1.jpg is a JPEG", "Export the mask as PNG"]),
    ],
)
def test_damage_is_listed(labelled_folder, damage, messages):
    damage(labelled_folder)
    with pytest.raises(ValueError) as caught:
        load(labelled_folder)
    for message in messages:
        assert message in str(caught.value)


def test_unchecked_labels_are_an_error_when_reached(labelled_folder):
    _color(labelled_folder)
    with pytest.raises(Exception, match=r"scene_0.png: colours outside the class table"):
        list(load(labelled_folder, check_labels=False))


def test_no_images_and_no_folder(tmp_path):
    with pytest.raises(ValueError, match="contains no image"):
        kd.data.from_folder(tmp_path, tmp_path, ["a"])
    with pytest.raises(ValueError, match="is not a folder"):
        kd.data.from_folder(tmp_path / "none", tmp_path, ["a"])
    with pytest.raises(ValueError, match="2 image folders but 1 mask"):
        kd.data.from_folder([tmp_path, tmp_path], tmp_path, ClassTable(("a",)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_truncated_image_is_named_when_reached(labelled_folder, suffix):
    path = labelled_folder / f"images/scene_1.{suffix}"
    original = labelled_folder / "images/scene_1.png"
    Image.open(original).resize((48, 48)).save(path)
    if path != original:
        original.unlink()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=path.name):
        list(load(labelled_folder))


def test_jpegs_are_decoded_as_pillow_does():
    dataset = kd.data.from_folder(
        EXAMPLES / "images", EXAMPLES / "masks", read_class_table(EXAMPLES / "classes.json")
    )
    paths = sorted((EXAMPLES / "images").iterdir())
    for (image, _), path in zip(dataset.as_numpy_iterator(), paths, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(path)))
