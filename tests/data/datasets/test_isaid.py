"""iSAID on a fake: patches, padding, splits."""

import builder_tester
import numpy as np
from builder_tester import examples
from fakes.isaid import PALETTE, write_isaid
from fakes.pictures import painted, png, write

from keras_deeplab.data import classes, load
from keras_deeplab.data.datasets import BUILDERS

SIZE = 896


class TestIsaidBuilder(builder_tester.BuilderTester):
    DATASET_CLASS = BUILDERS["isaid"]
    SPLITS = {"train": 4 + 3, "val": 1}
    write = staticmethod(write_isaid)


def reference_starts(length):
    """As the reference walks: every 512 pixels, moved back at the end; each place once."""
    starts = []
    for start in range(0, max(length, SIZE), 512):
        start = min(start, max(length, SIZE) - SIZE)
        if start not in starts:
            starts.append(start)
    return starts


def test_patches_are_the_originals_padded(tmp_path):
    scenes = write_isaid(tmp_path / "manual")
    for split in ("train", "val"):
        found = examples("isaid", split, tmp_path / "made", tmp_path / "manual")
        expected = set()
        for name, (image, label) in scenes.items():
            if not name.startswith(split):
                continue
            height, width = label.shape
            missing = [(0, max(SIZE - height, 0)), (0, max(SIZE - width, 0))]
            image = np.pad(image, [*missing, (0, 0)])
            label = np.pad(label, missing, constant_values=255)
            for row in reference_starts(height):
                for column in reference_starts(width):
                    expected.add((name, row, column))
                    window = np.s_[row : row + SIZE, column : column + SIZE]
                    got = found[name, row, column]
                    np.testing.assert_array_equal(got[0], image[window])
                    np.testing.assert_array_equal(got[1], label[window])
        assert found.keys() == expected


def test_the_palette_is_the_published_one():
    assert classes("isaid").palette == PALETTE


def test_grey_images_and_folders_called_train_are_fine(tmp_path):
    """DOTA has grey images; and people keep things in folders of any name."""
    label = np.zeros((40, 50), np.uint8)
    files = {}
    for split, name in (("train", "P0001"), ("val", "P0002")):
        folder = f"train data/train/{split}"
        files[f"{folder}/images/{name}.png"] = png(np.full((40, 50), 77, np.uint8))
        files[f"{folder}/Semantic_masks/{name}_instance_color_RGB.png"] = png(
            painted(label + 3, PALETTE)
        )
        files[f"{folder}/Instance_masks/{name}_instance_id_RGB.png"] = b"not needed"
    write(tmp_path / "manual", files)
    dataset = load("isaid", "val", data_dir=tmp_path, manual_dir=tmp_path / "manual")
    ((image, found),) = dataset.as_numpy_iterator()
    assert (image[:40, :50] == 77).all() and (image[40:] == 0).all()
    assert (found[:40, :50] == 3).all() and (found[40:] == 255).all()
