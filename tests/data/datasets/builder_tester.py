"""What holds for every data set: tfds's own tests, and tiles that are the originals' pixels."""

import pathlib
import tempfile

import numpy as np
import tensorflow_datasets as tfds

from keras_deeplab.data.datasets.registry import prepared


class BuilderTester(tfds.testing.DatasetBuilderTestCase):
    """tfds's tests of a builder on fakes that are written for the class."""

    SKIP_CHECKSUMS = True  # tfds knows SHA-256 only; LoveDA's published MD5s have their own test

    @staticmethod
    def write(folder):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = cls._folder.name
        cls.write(pathlib.Path(cls._folder.name))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._folder.cleanup()


def examples(name, split, data_dir, manual_dir):
    """The prepared examples of a split as NumPy, `(scene, row, column)` to `(image, label)`."""
    builder = prepared(name, data_dir=data_dir, manual_dir=manual_dir)
    return {
        (example["scene"].decode(), int(example["row"]), int(example["column"])): (
            example["image"],
            example["label"][..., 0],
        )
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }


def assert_tiles(found, scenes, starts, size):
    """Each tile has the pixels of its place, and the tiles lie at all of `starts`.

    Args:
        found: Of `examples`.
        scenes: Name to `(image, label)`, whole.
        starts: Name to `(rows, columns)`, the first ones of the tiles.
        size: Side of a tile.
    """
    expected = {
        (name, row, column)
        for name in scenes
        for row in starts[name][0]
        for column in starts[name][1]
    }
    assert found.keys() == expected
    for (name, row, column), (image, label) in found.items():
        window = np.s_[row : row + size, column : column + size]
        np.testing.assert_array_equal(image, scenes[name][0][window])
        np.testing.assert_array_equal(label, scenes[name][1][window])
