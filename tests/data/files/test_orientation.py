"""Pictures with an orientation are read as Pillow's `exif_transpose` turns them."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps
from rasters import write_raster

import keras_deeplab as kd
from keras_deeplab.data.files.images import ImageFormat, read_image

TAG = 0x0112
SIZE = (24, 40)  # of the stored pictures: height, width


def exif(code):
    tags = Image.Exif()
    tags[TAG] = code
    return tags


def save(path, pixels, code):
    """Writes a picture with an orientation."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".tif":  # compressed: Pillow turns memory-mapped ones wrongly
        options = {"tiffinfo": {TAG: code}, "compression": "tiff_lzw"}
    else:
        options = {"exif": exif(code)}
    Image.fromarray(pixels).save(path, **options)


def as_viewers_show(path):
    with Image.open(path) as picture:
        return np.asarray(ImageOps.exif_transpose(picture))


@pytest.fixture
def pictures(tmp_path):
    """A function that writes an image and its mask, each with its orientation or without."""

    def write(image_code, mask_code, suffix=".png", size=SIZE):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        save(tmp_path / f"images/a{suffix}", pixels, image_code)
        # The mask covers the picture as it is seen.
        seen = as_viewers_show(tmp_path / f"images/a{suffix}").shape[:2]
        size = seen if mask_code < 5 else seen[::-1]
        labels = np.random.default_rng(1).integers(0, 5, size).astype(np.uint8)
        save(tmp_path / f"masks/a{'.tif' if suffix == '.tif' else '.png'}", labels, mask_code)
        return tmp_path

    return write


def load(folder, **options):
    return kd.data.from_folder(folder / "images", folder / "masks", list("abcde"), **options)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("code", range(1, 9))
def test_images_and_masks_are_turned(pictures, code, suffix):
    folder = pictures(code, (code + 2) % 8 + 1, suffix)
    image, mask = (as_viewers_show(next((folder / kind).iterdir())) for kind in ("images", "masks"))
    found, label = next(load(folder).as_numpy_iterator())
    np.testing.assert_array_equal(found, image)
    np.testing.assert_array_equal(label, mask)
    found, _ = read_image(folder / f"images/a{suffix}", ImageFormat((3, 1), (0, 51)))
    np.testing.assert_allclose(found, np.clip(5.0 * image[..., [2, 0]], 0, 255), rtol=1e-6)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("code", range(2, 9))
def test_windows_are_parts_of_the_turned_picture(pictures, code, suffix):
    folder = pictures(code, 1, suffix)
    image, mask = (as_viewers_show(next((folder / kind).iterdir())) for kind in ("images", "masks"))
    windows = kd.data.RandomWindows(size=9, count=12)
    places = [windows.place(index, [mask.shape])[1:] for index in range(12)]
    dataset = load(folder, windows=windows).as_numpy_iterator()
    for (row, column, height, width), (part, label) in zip(places, dataset, strict=True):
        window = slice(row, row + height), slice(column, column + width)
        np.testing.assert_array_equal(part, image[window])
        np.testing.assert_array_equal(label, mask[window])


def test_pixels_without_data_are_turned_too(tmp_path):
    pixels = np.full((*SIZE, 4), 255, np.uint8)
    pixels[3, 5, 3] = 0
    save(tmp_path / "images/a.png", pixels, 6)
    save(tmp_path / "masks/a.png", np.ones(SIZE[::-1], np.uint8), 1)
    ((image, label),) = load(tmp_path, bands=(1, 2, 3)).as_numpy_iterator()
    (place,) = np.argwhere(as_viewers_show(tmp_path / "images/a.png")[..., 3] == 0).tolist()
    assert np.argwhere(label == 255).tolist() == [place] == np.argwhere(image[..., 0] == 0).tolist()


def test_a_wrong_label_is_located_where_viewers_show_it(pictures):
    folder = pictures(1, 1)
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[7, 2] = 9
    save(folder / "masks/a.png", labels, 8)
    (place,) = np.argwhere(as_viewers_show(folder / "masks/a.png")).tolist()
    with pytest.raises(ValueError, match=rf"\[9\] .* row {place[0]}, column {place[1]}\."):
        load(folder)


def test_sizes_that_differ_name_the_orientation(pictures):
    folder = pictures(6, 1)
    save(folder / "masks/a.png", np.zeros(SIZE, np.uint8), 1)  # of the picture as it is stored
    message = r"a.png is \(24, 40\) as turned by its orientation 6 \(stored \(40, 24\)\), its mask "
    with pytest.raises(ValueError, match=message + r".*a.png is \(40, 24\)$"):
        load(folder)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kind", ["images", "masks"])
def test_an_orientation_is_refused_where_there_are_coordinates(tmp_path, kind, big):
    for name, shape in (("images", (*SIZE, 3)), ("masks", SIZE)):
        write_raster(
            tmp_path / f"{name}/a.tif", np.ones(shape, "u1"), BIGTIFF="YES" if big else "NO"
        )
    path = tmp_path / kind / "a.tif"
    load(tmp_path)
    # GDAL does not write the tag: let it take the place of SampleFormat, whose default is the same.
    data = bytearray(path.read_bytes())
    entry = data.index(struct.pack("<HH", 0x0153, 3))
    struct.pack_into("<HHQH" if big else "<HHIH", data, entry, TAG, 3, 1, 6)
    path.write_bytes(data)
    with pytest.raises(
        ValueError, match=rf"{kind}/a.tif has the orientation 6 and coordinates, which"
    ):
        load(tmp_path)
    if kind == "images":
        with pytest.raises(ValueError, match=r"a.tif has the orientation 6 and coordinates"):
            read_image(path, ImageFormat())


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_exif_after_the_pixels_of_a_png(pictures):
    folder = pictures(1, 1)
    path = folder / "images/a.png"
    pixels = as_viewers_show(path)
    Image.fromarray(pixels).save(path)
    end = chunk(b"IEND", b"")
    assert path.read_bytes().endswith(end)
    late = chunk(b"eXIf", exif(3).tobytes()[6:])
    path.write_bytes(path.read_bytes().removesuffix(end) + late + end)
    np.testing.assert_array_equal(as_viewers_show(path), pixels[::-1, ::-1])
    np.testing.assert_array_equal(next(iter(load(folder)))[0], pixels[::-1, ::-1])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("damage", [b"MM\x00*", b"\x00" * 40, b"II*\x00\xff\xff\xff\xff", None])
def test_damaged_exif_is_no_orientation(pictures, damage):
    folder = pictures(1, 1, ".jpg")
    path = folder / "images/a.jpg"
    data = b"Exif\x00\x00" + damage if damage else exif(9)  # 9 is none
    with Image.open(path) as picture:
        picture.save(path, exif=data)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(next(iter(load(folder)))[0], np.asarray(picture))
