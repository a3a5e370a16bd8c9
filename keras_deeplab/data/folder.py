"""Folders of images and masks as a `tf.data.Dataset` of (image, label)."""

import concurrent.futures
import pathlib

import numpy as np
from PIL import Image

from keras_deeplab.data.class_table import ClassTable

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
MOST_LISTED = 10  # problems an error spells out before it counts the rest


def from_folder(images, masks, classes, *, check_labels=True):
    """Pairs images and masks by file stem.

    Args:
        images: Folder, or list of folders, of RGB images: jpg, png or tif, 8 bits a channel.
        masks: Folder, or list of folders matching `images`, of masks with the same stems:
            class indices in one channel, or colours (RGB or palette) when `classes` has a palette.
        classes: `ClassTable`, or a list of class names for masks of indices.
        check_labels: Whether every mask is decoded now, so that all wrong ones are listed at
            once. Otherwise a wrong mask is an error when it is reached.

    Returns:
        `tf.data.Dataset` of `(image, label)`: `(H, W, 3)` uint8 RGB 0..255 and `(H, W)` uint8
        class indices with 255 for ignored pixels, in the order of the file names. Images may
        differ in size.

    Raises:
        ValueError: A folder without images, an image or mask without partner, sizes that differ,
            labels or colours outside the class table. Lists the files and values found.
    """
    import tensorflow as tf

    classes = classes if isinstance(classes, ClassTable) else ClassTable(tuple(classes))
    pairs = list_pairs(images, masks)
    _check_sizes(pairs)
    if check_labels:
        _check_labels(pairs, classes)

    def load(image_path, mask_path):
        return read_image(image_path.decode()), read_mask(mask_path.decode(), classes)

    def load_tensors(image_path, mask_path):
        image, label = tf.numpy_function(load, [image_path, mask_path], (tf.uint8, tf.uint8))
        return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(label, (None, None))

    paths = tf.data.Dataset.from_tensor_slices(np.array(pairs, dtype=str))
    return paths.map(
        lambda pair: load_tensors(pair[0], pair[1]), num_parallel_calls=tf.data.AUTOTUNE
    )


def list_pairs(images, masks):
    """`(image file, mask file)` strings of one or several folders, paired by stem."""
    image_dirs, mask_dirs = _as_list(images), _as_list(masks)
    if len(image_dirs) != len(mask_dirs):
        raise ValueError(
            f"{len(image_dirs)} image folders but {len(mask_dirs)} mask folders: give one mask "
            "folder for each image folder."
        )
    pairs, problems = [], []
    for image_dir, mask_dir in zip(image_dirs, mask_dirs, strict=True):
        image_files, mask_files = _files_by_stem(image_dir), _files_by_stem(mask_dir)
        problems += [
            f"{image_files[stem]} has no mask in {mask_dir}"
            for stem in sorted(image_files.keys() - mask_files.keys())
        ]
        problems += [
            f"{mask_files[stem]} has no image in {image_dir}"
            for stem in sorted(mask_files.keys() - image_files.keys())
        ]
        pairs += [
            (str(image_files[stem]), str(mask_files[stem]))
            for stem in sorted(image_files.keys() & mask_files.keys())
        ]
    _raise_problems("images and masks do not pair up by file stem", problems)
    return pairs


def read_image(path):
    """An image file as `(H, W, 3)` uint8 RGB; a `ValueError` that names the file otherwise."""
    with _open(path) as image:
        if image.mode not in ("RGB", "P"):
            raise ValueError(
                f"{path}: expected an 8-bit RGB image, found mode {image.mode!r} "
                f"({len(image.getbands())} channels). Convert it to RGB first."
            )
        return np.asarray(image.convert("RGB"))


def read_mask(path, classes):
    """A mask file as `(H, W)` uint8 label map; a `ValueError` that names the file otherwise."""
    with _open(path) as mask:
        if classes.palette is not None and mask.mode in ("P", "RGB", "RGBA"):
            mask = mask.convert("RGB")
        return classes.decode(np.asarray(mask), where=str(path))


def _open(path):
    try:
        return Image.open(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as an image ({error}).") from error


def _as_list(folders):
    return [folders] if isinstance(folders, (str, pathlib.Path)) else list(folders)


def _files_by_stem(folder):
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    files, problems = {}, []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in files:
            problems.append(f"{path} and {files[path.stem]} share a stem")
        files[path.stem] = path
    _raise_problems("ambiguous file names", problems)
    if not files:
        raise ValueError(f"{folder} holds no image ({', '.join(IMAGE_SUFFIXES)}).")
    return files


def _check_sizes(pairs):
    def problem(pair):
        image, mask = map(_size, pair)
        return None if image == mask else f"{pair[0]} is {image}, its mask {pair[1]} is {mask}"

    _raise_problems("images and masks differ in size (width, height)", map(problem, pairs))


def _size(path):
    with _open(path) as image:
        return image.size


def _check_labels(pairs, classes):
    def problem(pair):
        try:
            read_mask(pair[1], classes)
        except ValueError as error:
            return str(error)
        return None

    with concurrent.futures.ThreadPoolExecutor() as pool:
        _raise_problems("masks do not fit the class table", pool.map(problem, pairs))


def _raise_problems(summary, problems):
    problems = [problem for problem in problems if problem]
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems[:MOST_LISTED])
        rest = len(problems) - MOST_LISTED
        more = f"\n  ... and {rest} more" if rest > 0 else ""
        raise ValueError(f"{summary[0].upper()}{summary[1:]}:{listed}{more}")
