"""What is known of a published data set, as data."""

import dataclasses

from keras_deeplab._internal.problems import listing
from keras_deeplab.data.class_table import ClassTable

IMAGE, LABEL = ("image",), ("label",)  # kinds


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file to download.

    Args:
        name: File name as its owner publishes it.
        kinds: What it gives: `"image"`, `"label"` or both.
        holds: What is inside, for people.
        bytes: Size, or `None` where the owner does not state it.
        url: Where it can be fetched without asking anybody, or `None`.
        md5: Published checksum, or `None`.
    """

    name: str
    kinds: tuple[str, ...]
    holds: str
    bytes: int | None = None
    url: str | None = None
    md5: str | None = None

    def __str__(self):
        size = "size not published" if self.bytes is None else f"{self.bytes / 1e9:.2f} GB"
        return f"{self.name} ({size}): {self.holds}"


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """A data set.

    Args:
        title: Full name.
        description: What the images show, sensor, resolution.
        page: Where to download or request it.
        licence: Terms of use.
        citation: BibTeX.
        classes: `ClassTable`.
        label_map: How the labels are stored, in a sentence.
        crop: Side of a training sample in pixels, as published.
        base_size: Base size of the training resize as published, see `data.augment`.
        test_size: Two lengths in pixels that the published test fits each tile into.
    """

    title: str
    description: str
    page: str
    licence: str
    citation: str
    classes: ClassTable
    label_map: str
    crop: int
    base_size: tuple[int, int]
    test_size: tuple[int, int]


def instructions(spec, archives):
    """What somebody has to do to get a data set, for `MANUAL_DOWNLOAD_INSTRUCTIONS`."""
    return (
        f"Get the originals of {spec.title} from {spec.page}:{listing(archives)}\n"
        "Put them into one folder, as they are or unpacked, and give it as manual_dir."
    )
