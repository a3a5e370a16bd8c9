"""Random windows of images: where they lie, what they hold, and how little memory they take."""

import subprocess
import sys

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from rasters import PLACE, write_raster

import keras_deeplab as kd
from keras_deeplab.data.files.rasters import open_raster


def coded(rows, columns, number=0):
    """`(H, W, 3)` uint8 whose every pixel says where it lies and in which image."""
    row, column = np.meshgrid(rows, columns, indexing="ij")
    high = (row // 256) * 16 + column // 256
    return np.stack([row % 256, column % 256, high + 64 * number], -1).astype(np.uint8)


@pytest.fixture
def scenes(tmp_path):
    """Two images of 100 x 300 and 500 x 600 pixels, and their masks."""
    for number, size in enumerate(((100, 300), (500, 600))):
        image = coded(*map(range, size), number)
        options = {"tiled": True, "blockxsize": 64, "blockysize": 64}
        write_raster(tmp_path / f"images/{number}.tif", image, **options)
        write_raster(tmp_path / f"masks/{number}.tif", image[..., 0] % 7, **options)
    return tmp_path


def load(folder, classes="abcdefg", **windows):
    windows = kd.data.RandomWindows(**windows)
    return kd.data.from_folder(
        folder / "images", folder / "masks", list(classes), windows=windows, check_labels=False
    )


def test_windows_are_slices_drawn_by_area(scenes):
    dataset = load(scenes, size=64, count=300, seed=5)
    assert dataset.cardinality() == 300
    places = []
    for image, label in dataset.as_numpy_iterator():
        row, column, high = image[0, 0].astype(int)
        number, high = divmod(high, 64)
        row, column = row + high // 16 * 256, column + high % 16 * 256
        places.append((number, row, column))
        expected = coded(range(row, row + 64), range(column, column + 64), number)
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(label, expected[..., 0] % 7)
    places = np.array(places)
    assert len(set(map(tuple, places.tolist()))) > 290
    share = (places[:, 0] == 1).mean()
    assert abs(share - 10 / 11) < 4 * np.sqrt(10 / 121 / 300)  # four standard deviations
    large = places[places[:, 0] == 1, 1:]
    assert (large.min(0) < 20).all() and (large.max(0) > [436 - 20, 536 - 20]).all()


def test_windows_depend_on_the_seed_alone(scenes):
    def pixels(**options):
        return np.stack([image for image, _ in load(scenes, size=32, **options)])

    first = pixels(count=20, seed=1)
    dataset = load(scenes, size=32, count=20, seed=1)
    for _ in range(2):
        np.testing.assert_array_equal(np.stack([image for image, _ in dataset]), first)
    np.testing.assert_array_equal(pixels(count=10, seed=1), first[:10])
    assert (pixels(count=20, seed=2) != first).any(axis=(1, 2, 3)).all()


def test_a_short_side_is_taken_whole(scenes):
    shapes = {image.shape for image, _ in load(scenes, size=200, count=40).as_numpy_iterator()}
    assert shapes == {(100, 200, 3), (200, 200, 3)}


def test_a_wrong_label_in_a_window_is_located_in_its_file(tmp_path):
    table = kd.data.ClassTable(("land",), ((1, 1, 1),))
    mask = np.ones((300, 300, 3), np.uint8)
    mask[150, 160] = 0
    for name in ("images", "masks"):
        write_raster(tmp_path / f"{name}/a.tif", mask)
    dataset = kd.data.from_folder(
        *(tmp_path / "images", tmp_path / "masks", table),
        windows=kd.data.RandomWindows(size=280, count=1),
        check_labels=False,
    )
    with pytest.raises(Exception, match=r"a.tif: colours .* row 150, column 160"):
        list(dataset)


def test_wrong_windows_are_named():
    for options, message in (
        ({"size": 0, "count": 1}, "size must be an integer of 1 or more, got 0"),
        ({"size": 32, "count": 2.5}, "count must be an integer of 1 or more, got 2.5"),
        ({"size": 32, "count": 2, "seed": -1}, "seed must be an integer of 0 or more, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.data.RandomWindows(**options)


def test_windows_feed_training_batches(scenes):
    dataset = load(scenes, size=96, count=6)
    batches = kd.data.training_batches(dataset, batch_size=4, crop=64)
    for images, labels in batches.take(3):
        assert images.shape == (4, 64, 64, 3) and labels.shape == (4, 64, 64)


HUGE = 20_000
PEAK = """
import resource, sys
import numpy as np, tensorflow as tf
import keras_deeplab as kd
folder, output = sys.argv[1:]
list(tf.data.Dataset.range(2).map(lambda i: tf.numpy_function(np.sqrt, [1.0], tf.float32)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
windows = kd.data.RandomWindows(size=512, count=64)
dataset = kd.data.from_folder(folder + "/images", folder + "/masks", ["a", "b"], windows=windows)
images, labels = zip(*dataset.as_numpy_iterator())
np.savez(output, images=images, labels=labels)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.long
def test_a_huge_image_is_never_read_whole(tmp_path):
    """Its pixels are 1.2 GB and its mask 0.4 GB; checking all labels and 64 windows takes less."""
    profile = {
        **{"driver": "GTiff", "dtype": "uint8", "height": HUGE, "width": HUGE, **PLACE},
        **{"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"},
    }
    spots = [(row, column) for row in range(0, 19456, 2560) for column in range(0, 19456, 2560)]
    for name, count in (("images", 3), ("masks", 1)):
        (tmp_path / name).mkdir()
        with rasterio.open(
            tmp_path / f"{name}/a.tif", "w", count=count, sparse_ok=True, **profile
        ) as raster:
            for row, column in spots:
                raster.write(spot(row, column)[:count], window=Window(column, row, 512, 512))
    output = tmp_path / "windows.npz"
    command = [sys.executable, "-c", PEAK, str(tmp_path), str(output)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    windows = np.load(output)
    assert int(result.stdout) < 400 * 1024 * (1 if sys.platform != "darwin" else 1024)
    with open_raster(tmp_path / "images/a.tif") as raster:
        whole = raster.read(1)
    places = kd.data.RandomWindows(size=512, count=64)
    held = 0
    for index in range(64):
        _, row, column, height, width = places.place(index, [(HUGE, HUGE)])
        expected = whole[row : row + height, column : column + width]
        held += expected.any()
        np.testing.assert_array_equal(windows["labels"][index], expected)
        np.testing.assert_array_equal(windows["images"][index][..., 0], expected)
        np.testing.assert_array_equal(windows["images"][index][..., 1], expected * 3)
    assert held > 5


def spot(row, column):
    """`(3, 512, 512)`: random bits of a place, and the same times 3 and 5."""
    bits = np.random.default_rng((row, column)).integers(0, 2, (512, 512)).astype(np.uint8)
    return np.stack([bits, bits * 3, bits * 5])
