"""Which mask belongs to which image: by path below a folder, or by a CSV file."""

import collections
import csv
import logging
import os
import pathlib
import re
from collections.abc import Container, Iterator, KeysView, Mapping, Sequence

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab._internal.problems import listing, raise_problems

Folders = StrPath | Sequence[StrPath]  # one folder, or several
Stems = Mapping[str, pathlib.Path]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
# Pictures, rasters and arrays that are not read, but may be meant as images or masks. World files,
# metadata, tables and notes are not among them.
UNREAD_SUFFIXES = (
    *(".gif", ".webp", ".jp2", ".j2k", ".jfif", ".jpe", ".jxl", ".heic", ".avif", ".tga", ".ppm"),
    *(".pgm", ".dng", ".img", ".vrt", ".ecw", ".sid", ".npy", ".npz"),
)

logger = logging.getLogger("keras_deeplab")


def pairs_of_folders(
    images: Folders, masks: Folders, *, split: StrPath | None = None, mask_suffix: str = ""
) -> list[tuple[str, str]]:
    """`(image file, mask file)` of one or several folders, in the order of their names.

    Files pair up by stem: the path below the folder, without file suffix, with `/`.

    Args:
        images: Folder, or list of folders, of images.
        masks: Folder, or list of folders matching `images`.
        split: File that lists the stems to use, or `None` for all.
        mask_suffix: Suffix of mask file names, for example `"_mask"`.

    Raises:
        ValueError: Lists the files without a partner and the lines of `split` without a file.
    """
    image_dirs, mask_dirs = as_folders(images), as_folders(masks)
    if len(image_dirs) != len(mask_dirs):
        raise InputError(
            f"{len(image_dirs)} image folders but {len(mask_dirs)} mask folders: give one mask "
            "folder for each image folder."
        )
    folders = [
        (image_dir, mask_dir, *_stems(image_dir, mask_dir, mask_suffix))
        for image_dir, mask_dir in zip(image_dirs, mask_dirs, strict=True)
    ]
    chosen = None
    if split is not None:
        chosen = read_split(split, [(image_dir, files) for image_dir, _, files, _ in folders])
    pairs, problems = [], []
    for image_dir, mask_dir, image_files, mask_files in folders:
        for stem in sorted(image_files.keys() | mask_files.keys()):
            if chosen is not None and stem not in chosen:
                continue
            if stem not in mask_files:
                problems.append(f"{image_files[stem]} has no mask in {mask_dir}")
            elif stem not in image_files:
                problems.append(f"{mask_files[stem]} has no image in {image_dir}")
            else:
                pairs.append((str(image_files[stem]), str(mask_files[stem])))
    raise_problems("Images and masks do not pair up by file stem", problems)
    return pairs


def as_folders(folders: Folders) -> list[pathlib.Path]:
    """A folder or folders as a list."""
    if isinstance(folders, (str, os.PathLike)):
        return [pathlib.Path(folders)]
    return [pathlib.Path(folder) for folder in folders]


def _stems(
    image_dir: pathlib.Path, mask_dir: pathlib.Path, mask_suffix: str
) -> tuple[dict[str, pathlib.Path], dict[str, pathlib.Path]]:
    """Files by stem of an image folder and its mask folder, which may be the same folder."""
    shared = image_dir.resolve() == mask_dir.resolve()
    images = files_by_stem(image_dir)
    masks = images if shared else files_by_stem(mask_dir)
    if not mask_suffix:
        return images, masks
    if shared:
        images = {stem: path for stem, path in images.items() if not stem.endswith(mask_suffix)}
        masks = {stem: path for stem, path in masks.items() if stem.endswith(mask_suffix)}
    raise_problems(
        f"Mask names that do not end in mask_suffix {mask_suffix!r}",
        (str(path) for stem, path in masks.items() if not stem.endswith(mask_suffix)),
    )
    return images, {stem.removesuffix(mask_suffix): path for stem, path in masks.items()}


def files_by_stem(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The image files below a folder by stem, in the order of their paths.

    Raises:
        ValueError: When there is none, or when two of them share a stem.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    files: dict[str, pathlib.Path] = {}
    problems, unread = [], []
    for path in sorted(_visible_files(folder)):
        if path.suffix.lower() in UNREAD_SUFFIXES:
            unread.append(path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in files:
            problems.append(f"{path} and {files[stem]} share a stem")
        files[stem] = path
    raise_problems("Ambiguous file names", problems)
    kinds = ", ".join(IMAGE_SUFFIXES)
    if not files:
        others = f". Files of other kinds, which are not read:{listing(unread)}" if unread else "."
        raise InputError(f"{folder} contains no image ({kinds}){others}")
    if unread:
        logger.warning("Files that are not read, as they are none of %s:%s", kinds, listing(unread))
    return files


def _visible_files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the files in a folder and its sub-folders, linked ones too, without hidden ones."""
    # The real paths of each sub-folder and of those above it.
    above: dict[pathlib.Path, tuple[pathlib.Path, ...]] = {folder: (folder.resolve(),)}

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read as a folder ({error.strerror}).")

    for name, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        place = pathlib.Path(name)
        # Hidden: of file managers and notebooks. A link to a folder that it is in has no end.
        entered = {sub: (place / sub).resolve() for sub in folders if not sub.startswith(".")}
        folders[:] = [sub for sub, real in entered.items() if real not in above[place]]
        above.update({place / sub: (*above[place], entered[sub]) for sub in folders})
        yield from (place / file for file in files if not file.startswith("."))


def read_split(split: StrPath, folders: Sequence[tuple[pathlib.Path, Stems]]) -> KeysView[str]:
    """The stems that a split file lists, each of which is in exactly one of the folders.

    Args:
        split: Text file.
        folders: Folders of images, with the images in them by stem.

    Raises:
        ValueError: Lists the lines that do not name one image.
    """
    try:
        lines = pathlib.Path(split).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Split {split} cannot be read ({error}).") from error
    found = collections.Counter(stem for _, stems in folders for stem in stems)
    chosen: dict[str, int] = {}
    problems = []
    for number, line in enumerate(lines, 1):
        entry = _entry(line, found)
        if not entry:
            continue
        stem = _stem(entry)
        if stem in chosen:
            problems.append(f"line {number}: {entry} is on line {chosen[stem]} already")
        elif not found[stem]:
            problems.append(f"line {number}: {entry} is not an image of {_names(folders)}")
        elif found[stem] > 1:
            problems.append(f"line {number}: {entry} is in several of {_names(folders)}")
        chosen[stem] = number
    raise_problems(f"Split {split} does not fit the images", problems)
    if not chosen:
        raise InputError(f"Split {split} does not list any image: write one stem per line.")
    return chosen.keys()


def _entry(line: str, stems: Container[str]) -> str:
    """The image that a line of a split file names, without comment; empty if there is none.

    A comment begins with `#` at the start of the line or after a space, unless an image has that
    name.
    """
    cuts = [len(line), *(cut.start() for cut in reversed(list(re.finditer(r"(?<!\S)#", line))))]
    entries = [line[:cut].strip() for cut in cuts]
    return next((entry for entry in entries if _stem(entry) in stems), entries[-1])


def _stem(entry: str) -> str:
    path = pathlib.PurePath(entry)
    return (path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()


def _names(folders: Sequence[tuple[pathlib.Path, Stems]]) -> str:
    return ", ".join(str(folder) for folder, _ in folders)


def pairs_of_csv(path: StrPath) -> list[tuple[str, str]]:
    """`(image file, mask file)` of each line of a CSV file, in its order.

    Args:
        path: CSV file with the columns `image` and `mask`; paths are relative to the file. Other
            columns are ignored.

    Raises:
        ValueError: Lists the lines whose files are missing, and images that occur twice.
    """
    path = pathlib.Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            rows = [(reader.line_num, row.get("image"), row.get("mask")) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as CSV ({error}).") from error
    if not {"image", "mask"} <= set(header):
        raise InputError(f"{path}: expected the header image,mask; found {','.join(header)!r}.")
    pairs: list[tuple[str, str]] = []
    lines: dict[str | None, int] = {}
    problems = []
    for number, image, mask in rows:
        for kind, name in (("image", image), ("mask", mask)):
            if not name or not (path.parent / name).is_file():
                problems.append(f"line {number}: {kind} {name or '(empty)'} does not exist")
        if image and image in lines:
            problems.append(f"line {number}: {image} is on line {lines[image]} already")
        lines[image] = number
        pairs.append((str(path.parent / (image or "")), str(path.parent / (mask or ""))))
    raise_problems(f"{path} does not list pairs of files", problems)
    if not pairs:
        raise InputError(f"{path} does not list any pair.")
    return pairs
