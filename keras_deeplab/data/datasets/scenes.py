"""Pairing images and labels of a download, sorting them into splits, and finding gaps."""

import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from PIL import Image

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.problems import listing, raise_problems
from keras_deeplab.data.datasets.source_files import SourceFile, SourceFiles
from keras_deeplab.data.datasets.spec import Archive, DatasetSpec

logger = logging.getLogger("keras_deeplab")

Locate = Callable[[tuple[str, ...]], tuple[str, str] | None]
"""Function from the parts of a file to its kind and scene; `None` for a file that is not used."""


class Split(NamedTuple):
    """The scenes of a split.

    Args:
        holds: Function from the name of a scene to whether it is in the split.
        size: Number of scenes in the complete dataset.
    """

    holds: Callable[[str], bool]
    size: int


def splits_by_folder(sizes: Mapping[str, int]) -> dict[str, Split]:
    """Splits of scenes whose names begin with the split, such as `train/P0001`.

    Args:
        sizes: Split name to its number of scenes.
    """
    return {
        split: Split(functools.partial(_is_below, f"{split}/"), size)
        for split, size in sizes.items()
    }


def _is_below(folder: str, name: str) -> bool:
    return name.startswith(folder)


def splits_by_name(names: Mapping[str, Collection[str]]) -> dict[str, Split]:
    """Splits of listed scenes.

    Args:
        names: Split name to scene names.
    """
    return {split: Split(members.__contains__, len(members)) for split, members in names.items()}


@dataclasses.dataclass(frozen=True)
class Scene:
    """An original image with its label.

    Args:
        name: Unique in the dataset, for example `2_10` or `train/urban/1366`.
        image: File of the image.
        label: File of the label.
    """

    name: str
    image: SourceFile
    label: SourceFile


def find_scenes(
    sources: SourceFiles,
    locate: Locate,
    splits: Mapping[str, Split],
    *,
    spec: DatasetSpec,
    archives: Sequence[Archive],
) -> dict[str, list[Scene]]:
    """Pairs images and labels and sorts them into splits.

    Args:
        sources: Files of the download.
        locate: Function from the `parts` of a `SourceFile` to `("image" or "label", scene name)`,
            or `None` for a file that is not used.
        splits: Splits by name.
        spec: Spec of the dataset, for errors.
        archives: Downloads with the images and labels, for errors.

    Returns:
        Split name to scenes, sorted by name.

    Raises:
        ValueError: Lists files that are missing, found twice, or without partner; says what was
            found instead and where to get the rest.
    """
    images, labels = _located(sources, locate, spec)
    names = {
        split: sorted(filter(splits[split].holds, images.keys() | labels.keys()))
        for split in splits
    }
    for split, scenes in names.items():
        missing = [
            kind
            for kind, found in (("image", images), ("label", labels))
            if not found.keys() & set(scenes)
        ]
        if missing:
            needed = [archive for archive in archives if set(archive.kinds) & set(missing)]
            raise InputError(_missing(split, missing, needed, sources, spec))
    expected = sorted({name for scenes in names.values() for name in scenes})
    raise_problems(
        f"{spec.title}: images and labels do not match",
        [f"image {images[name].name} has no label" for name in expected if name not in labels]
        + [f"label {labels[name].name} has no image" for name in expected if name not in images],
    )
    _warn_of_gaps(splits, names, images, labels, spec)
    return {
        split: [Scene(name, images[name], labels[name]) for name in names[split]] for split in names
    }


def _located(
    sources: SourceFiles, locate: Locate, spec: DatasetSpec
) -> tuple[dict[str, SourceFile], dict[str, SourceFile]]:
    found: dict[str, dict[str, SourceFile]] = {"image": {}, "label": {}}
    duplicates = []
    for source in sources.files:
        place = locate(source.parts)
        if place is None:
            continue
        kind, name = place
        first = found[kind].setdefault(name, source)
        if first is not source:
            duplicates.append(f"{kind} of {name}: {first.name} and {source.name}")
    raise_problems(f"{spec.title}: found twice, remove one of each", duplicates)
    return found["image"], found["label"]


def _missing(
    split: str,
    missing: Iterable[str],
    needed: Iterable[Archive],
    sources: SourceFiles,
    spec: DatasetSpec,
) -> str:
    return (
        f"{spec.title}: found no {' and no '.join(missing)} of split {split!r}. Missing downloads:"
        f"{listing(needed)}\nGet them from {spec.page} and put them into the folder, zipped or "
        f"unpacked. Found instead:{listing(_contents(sources) or ['nothing'])}"
    )


def _contents(sources: SourceFiles) -> list[str]:
    """One line per file on disk; for a zip, the number of files in it and the first."""
    members: dict[pathlib.Path, list[SourceFile]] = {}
    for source in sources.files:
        members.setdefault(source.path, []).append(source)
    return [
        f"{first.name} ({first.bytes} bytes)"
        if first.member is None
        else f"{path.name}: {1 + len(others)} files, the first {first.member}"
        for path, (first, *others) in members.items()
    ]


def _warn_of_gaps(
    splits: Mapping[str, Split],
    names: Mapping[str, Sequence[str]],
    images: Mapping[str, SourceFile],
    labels: Mapping[str, SourceFile],
    spec: DatasetSpec,
) -> None:
    """Warns of an incomplete dataset, which is prepared all the same."""
    for split, (_, size) in splits.items():
        if len(names[split]) != size:
            logger.warning(
                "%s: %d of %d scenes of split %r found.",
                spec.title,
                len(names[split]),
                size,
                split,
            )
    unknown = (images.keys() | labels.keys()).difference(*names.values())
    if unknown:
        logger.warning("%s: not in any split, ignored: %s.", spec.title, ", ".join(sorted(unknown)))


def image_size(source: SourceFile) -> tuple[int, int]:
    """Width and height of an image, from its header."""
    with source.opened() as file:
        try:
            with Image.open(file) as image:
                return image.size
        except Image.DecompressionBombError as error:
            raise InputError(f"{source.name}: {error}") from error
