"""Which image belongs to which label among the files of a download, and what is missing."""

import dataclasses
import logging
import typing

from PIL import Image

from keras_deeplab._internal.problems import listing, raise_problems
from keras_deeplab.data.datasets.source_files import SourceFile

logger = logging.getLogger("keras_deeplab")


class Split(typing.NamedTuple):
    """Which scenes are in a split.

    Args:
        holds: Function from the name of a scene to whether it belongs here.
        size: Scenes of the published data set that do.
    """

    holds: typing.Callable[[str], bool]
    size: int


def splits_by_folder(sizes):
    """`Split`s of scenes whose names begin with the split, such as `train/P0001`.

    Args:
        sizes: Split name to its number of scenes.
    """
    return {
        split: Split(lambda name, split=split: name.startswith(f"{split}/"), size)
        for split, size in sizes.items()
    }


def splits_by_name(names):
    """`Split`s of listed scenes.

    Args:
        names: Split name to a tuple of scene names.
    """
    return {split: Split(members.__contains__, len(members)) for split, members in names.items()}


@dataclasses.dataclass(frozen=True)
class Scene:
    """An original image with its label.

    Args:
        name: Unique in the data set, for example `2_10` or `train/urban/1366`.
        image: `SourceFile` of the image.
        label: `SourceFile` of the label.
    """

    name: str
    image: SourceFile
    label: SourceFile


def find_scenes(sources, locate, splits, *, spec, archives):
    """Pairs images and labels and sorts them into splits.

    Args:
        sources: `SourceFiles` of the download.
        locate: Function from the parts of a `SourceFile` to `("image" or "label", scene name)`, or
            to `None` for a file that is not needed.
        splits: Split name to `Split`.
        spec: `DatasetSpec` of the data set, for errors.
        archives: `Archive`s that hold the images and labels, for errors.

    Returns:
        Split name to list of `Scene`, in the order of the names.

    Raises:
        ValueError: Lists what is missing, found twice, or without its partner; says what was found
            instead and where to get the rest.
    """
    images, labels = _located(sources, locate, spec)
    names = {
        split: sorted(filter(splits[split].holds, images.keys() | labels.keys()))
        for split in splits
    }
    for split, wanted in names.items():
        lacking = [
            kind
            for kind, found in (("image", images), ("label", labels))
            if not found.keys() & set(wanted)
        ]
        if lacking:
            needed = [archive for archive in archives if set(archive.kinds) & set(lacking)]
            raise ValueError(_missing(split, lacking, needed, sources, spec))
    wanted = sorted(set().union(*names.values()))
    raise_problems(
        f"{spec.title}: images and labels do not match",
        [f"image {images[name].name} has no label" for name in wanted if name not in labels]
        + [f"label {labels[name].name} has no image" for name in wanted if name not in images],
    )
    _warn_of_gaps(splits, names, images, labels, spec)
    return {
        split: [Scene(name, images[name], labels[name]) for name in names[split]] for split in names
    }


def _located(sources, locate, spec):
    found = {"image": {}, "label": {}}
    doubles = []
    for source in sources.files:
        place = locate(source.parts)
        if place is None:
            continue
        kind, name = place
        first = found[kind].setdefault(name, source)
        if first is not source:
            doubles.append(f"{kind} of {name}: {first.name} and {source.name}")
    raise_problems(f"{spec.title}: found twice, remove one of each", doubles)
    return found["image"], found["label"]


def _missing(split, lacking, needed, sources, spec):
    return (
        f"{spec.title}: there is no {' and no '.join(lacking)} of split {split!r}. Missing:"
        f"{listing(needed)}\nGet them from {spec.page} and put them into the folder, as they "
        f"are or unpacked. Found instead:{listing(_contents(sources) or ['nothing'])}"
    )


def _contents(sources):
    """A line for each file on disk; of a zip, how many it holds and the first."""
    members = {}
    for source in sources.files:
        members.setdefault(source.path, []).append(source)
    return [
        f"{first.name} ({first.bytes} bytes)"
        if first.member is None
        else f"{path.name}: {1 + len(others)} files, the first {first.member}"
        for path, (first, *others) in members.items()
    ]


def _warn_of_gaps(splits, names, images, labels, spec):
    """A data set that lacks scenes is made, but nobody shall take it for the whole one."""
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
        logger.warning("%s: in no split, left out: %s.", spec.title, ", ".join(sorted(unknown)))


def image_size(source):
    """Width and height of an image, from its header."""
    with source.opened() as file:
        try:
            with Image.open(file) as image:
                return image.size
        except Image.DecompressionBombError as error:
            raise ValueError(f"{source.name}: {error}") from error
