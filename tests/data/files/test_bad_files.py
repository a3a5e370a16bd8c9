"""Files that turn bad after a dataset was opened: what stands in for them, what is said of them."""

import pathlib

import click
import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image
from rasters import write_raster
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab.commands.group import Command
from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.source import DataSource

SIDE = 48
OPTIONS = {"bands": (3, 1), "value_range": (0, 4095)}


@pytest.fixture
def scenes(tmp_path):
    """Five scenes of three bands in 16 bits with masks of two classes and ignored pixels."""
    rng = np.random.default_rng(0)
    for number in range(5):
        image = rng.integers(0, 4096, (SIDE, SIDE + number, 3)).astype(np.uint16)
        write_raster(tmp_path / f"images/{number}.tif", image)
        mask = rng.choice([0, 1, 255], image.shape[:2]).astype(np.uint8)
        write_raster(tmp_path / f"masks/{number}.tif", mask)
    return tmp_path


def load(folder, bad_files=None, **options):
    options = {**OPTIONS, **options}
    return kd.data.from_folder(
        *(folder / "images", folder / "masks", ["land", "water"]), bad_files=bad_files, **options
    )


def truncate(path):
    """Keeps the header of a file and some of its pixels."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def assert_same(found, expected):
    for pair, other in zip(found, expected, strict=True):
        for part, other_part in zip(pair, other, strict=True):
            np.testing.assert_array_equal(part, other_part)


DAMAGES = {
    "truncated image": ("images/2.tif", truncate),
    "truncated mask": ("masks/2.tif", truncate),
    "empty image": ("images/2.tif", lambda path: path.write_bytes(b"")),
    "deleted image": ("images/2.tif", pathlib.Path.unlink),
    "deleted mask": ("masks/2.tif", pathlib.Path.unlink),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_next_readable_pair_takes_the_place(scenes, damage):
    bad_files = kd.data.BadFiles()
    dataset = load(scenes, bad_files)
    good = list(dataset.as_numpy_iterator())
    assert len(bad_files) == 0
    name, spoil = DAMAGES[damage]
    spoil(scenes / name)
    for times in ("once", "2 times", "3 times"):
        found = list(dataset.as_numpy_iterator())
        assert_same(found, [*good[:2], good[3], *good[3:]])
        (line,) = bad_files.lines()
        assert line.startswith(f"{scenes / name}: cannot be read as a raster (")
        assert line.endswith(f"; tried {times}") and len(bad_files) == 1


@pytest.mark.parametrize("damage", [name for name in DAMAGES if "deleted" not in name])
def test_files_bad_at_the_start_are_stood_in_for_too(scenes, damage):
    good = list(load(scenes).as_numpy_iterator())
    name, spoil = DAMAGES[damage]
    spoil(scenes / name)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=name):
        list(load(scenes))
    bad_files = kd.data.BadFiles()
    dataset = load(scenes, bad_files)
    assert len(bad_files) == (damage != "truncated image")  # pixels of images are not checked
    assert_same(dataset.as_numpy_iterator(), [*good[:2], good[3], *good[3:]])
    assert len(bad_files) == 1


def test_the_first_stands_in_for_the_last_and_all_are_reported(scenes):
    csv = scenes / "pairs.csv"
    rows = (f"images/{number}.tif,masks/{number}.tif\n" for number in range(5))
    csv.write_text("image,mask\n" + "".join(rows))
    bad_files = kd.data.BadFiles()
    dataset = kd.data.from_csv(csv, ["land", "water"], bad_files=bad_files, **OPTIONS)
    good = list(dataset.as_numpy_iterator())
    assert bad_files.report() == "0 files could not be read."
    (scenes / "images/3.tif").unlink()
    truncate(scenes / "masks/4.tif")
    assert_same(dataset.as_numpy_iterator(), [*good[:3], good[0], good[0]])
    first, image, mask = bad_files.report().split("\n")
    assert first == "2 files could not be read; the next readable pair took the place of each:"
    assert image.startswith(f"  {scenes / 'images/3.tif'}: ") and image.endswith("; tried once")
    assert mask.startswith(f"  {scenes / 'masks/4.tif'}: ") and mask.endswith("; tried 2 times")


def test_validation_does_not_count_it(scenes):
    model = tiny_model(channels=2)
    bad_files = kd.data.BadFiles("ignored")
    dataset = load(scenes, bad_files)
    good = list(dataset.as_numpy_iterator())
    truncate(scenes / "masks/2.tif")
    found = list(dataset.as_numpy_iterator())
    assert_same(found[:2] + found[3:], good[:2] + good[3:])
    image, label = found[2]
    assert image.shape == (*label.shape, 2) and image.dtype == np.float32 and not image.any()
    assert label.dtype == np.uint8 and (label == 255).all()
    counted = kd.evaluate(model, dataset, num_classes=2).confusion
    others = kd.evaluate(model, good[:2] + good[3:], num_classes=2).confusion
    np.testing.assert_array_equal(counted, others)
    assert "1 file could not be read; their pairs were not counted:" in bad_files.report()


def test_batches_go_on_exactly_with_a_bad_file(scenes):
    bad_files = kd.data.BadFiles()
    load(scenes, bad_files)
    truncate(scenes / "images/1.tif")
    options = {"batch_size": 2, "crop": 32, "seed": 3}

    def batches(start_step=0):  # each with a dataset of its own, as a resumed run has
        dataset = load(scenes, bad_files)
        return kd.data.training_batches(dataset, start_step=start_step, **options)

    whole = list(batches().take(5).as_numpy_iterator())  # two epochs
    assert_same(batches(3).take(2).as_numpy_iterator(), whole[3:])
    assert len(bad_files) == 1


def test_windows_of_a_bad_image_give_way_to_the_next_window(scenes):
    bad_files = kd.data.BadFiles()
    windows = kd.data.RandomWindows(size=16, count=30)
    dataset = load(scenes, bad_files, windows=windows)
    good = list(dataset.as_numpy_iterator())
    (scenes / "images/2.tif").write_bytes(b"")
    shapes = [(SIDE, SIDE + number) for number in range(5)]
    numbers = [windows.place(index, shapes)[0] for index in range(30)]
    expected = [
        next(good[i % 30] for i in range(index, index + 30) if numbers[i % 30] != 2)
        for index in range(30)
    ]
    assert numbers.count(2) > 2
    assert_same(dataset.as_numpy_iterator(), expected)
    # Opened again, the mask still says how large the image was: the windows are the same.
    assert_same(load(scenes, bad_files, windows=windows).as_numpy_iterator(), expected)
    (scenes / "masks/2.tif").write_bytes(b"")
    assert len(list(load(scenes, bad_files, windows=windows))) == 30
    assert len(bad_files) == 2


def test_mistakes_stay_errors(scenes):
    bad_files = kd.data.BadFiles()
    dataset = load(scenes, bad_files)
    wrong = np.full((SIDE, SIDE), 7, np.uint8)
    write_raster(scenes / "masks/0.tif", wrong)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"label values \[7\] are outside"):
        list(dataset)
    with pytest.raises(ValueError, match=r"label values \[7\] are outside"):
        load(scenes, bad_files)
    write_raster(scenes / "masks/0.tif", wrong[:9], crs=None)
    with pytest.raises(ValueError, match=r"its mask .* is \(48, 9\)"):
        load(scenes, bad_files)
    (scenes / "masks/0.tif").unlink()
    with pytest.raises(ValueError, match="has no mask in"):
        load(scenes, bad_files)
    assert len(bad_files) == 0
    with pytest.raises(ValueError, match="stand_in must be one of next, ignored, got 'black'"):
        kd.data.BadFiles("black")


@pytest.mark.parametrize("stand_in", ["next", "ignored"])
def test_nothing_readable_is_an_error(scenes, stand_in):
    bad_files = kd.data.BadFiles(stand_in)
    dataset = load(scenes, bad_files)
    for path in (scenes / "images").iterdir():
        path.write_bytes(b"")
    message = r"No pair of image and mask can be read:\n  .*images/0.tif: cannot"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        list(dataset)
    with pytest.raises(ValueError, match=message):
        load(scenes, kd.data.BadFiles(stand_in))


def test_an_unreadable_file_among_those_without_value_range(scenes):
    truncate(scenes / "images/0.tif")
    with pytest.raises(ValueError, match="say which values become 0 and 255") as caught:
        load(scenes, kd.data.BadFiles(), value_range=None)
    assert "0.tif: cannot be read" in str(caught.value)


class Spoil(keras.callbacks.Callback):
    """Cuts a file short after the second batch of a training."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.batches == 2:
            truncate(self.path)


@pytest.fixture
def training(tmp_path):
    """A command that trains a pixel-wise model on windows of JPEGs, one of which turns bad."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        pixels = rng.integers(0, 256, (96, 96, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/{name}.jpg")
        Image.fromarray(pixels[..., 0] % 2).save(tmp_path / f"masks/{name}.png")
    spoil = Spoil(tmp_path / "images/b.jpg")

    def train(bad_files):
        @click.command(cls=Command)
        def command():
            windows = kd.data.RandomWindows(size=32, count=240)
            dataset = kd.data.from_folder(
                *(tmp_path / "images", tmp_path / "masks", ["land", "water"]),
                windows=windows,
                bad_files=bad_files,
            )
            pixels = keras.Input((None, None, 3))
            model = keras.Model(pixels, keras.layers.Conv2D(2, 1)(pixels))
            model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(dataset.batch(4), verbose=0, shuffle=False, callbacks=[spoil])

        return CliRunner().invoke(command, [], standalone_mode=False)

    return train, spoil


def test_stopping_in_the_middle_names_the_file_without_traceback(training):
    train, spoil = training
    result = train(None)
    assert result.exit_code == 1 and 2 <= spoil.batches < 60
    (message,) = str(result.exception).splitlines()
    assert isinstance(result.exception, click.ClickException)
    assert message.startswith(f"{spoil.path}: cannot be read as an image (image file is truncated")
    # The error of TensorFlow holds an iterator; a process that ends with one may wait forever.
    assert result.exception.__context__ is None


def test_skipping_in_the_middle_goes_on_to_the_end(training):
    train, spoil = training
    bad_files = kd.data.BadFiles()
    result = train(bad_files)
    assert result.exit_code == 0, result.output
    assert spoil.batches == 60
    (line,) = bad_files.lines()
    assert line.startswith(f"{spoil.path}: cannot be read as an image (image file is truncated")


def test_a_source_passes_it_on(scenes):
    bad_files = kd.data.BadFiles()
    folders = {"images": (scenes / "images",), "masks": (scenes / "masks",)}
    source = DataSource(**folders, form=ImageFormat(**OPTIONS))
    dataset = source.open(kd.data.ClassTable(("land", "water")), bad_files=bad_files)
    truncate(scenes / "images/0.tif")
    assert len(list(dataset)) == 5 and len(bad_files) == 1
