"""Metadata of published datasets."""

import dataclasses
from collections.abc import Iterable

from keras_deeplab._internal.problems import listing
from keras_deeplab.data.class_table import ClassTable

IMAGE, LABEL = ("image",), ("label",)  # kinds


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file to download.

    Args:
        name: File name as published.
        kinds: What it contains: `"image"`, `"label"` or both.
        holds: Description of its contents.
        bytes: Size, or `None` if not published.
        url: Public download URL, or `None` if it must be requested.
        md5: Published checksum, or `None`.
    """

    name: str
    kinds: tuple[str, ...]
    holds: str
    bytes: int | None = None
    url: str | None = None
    md5: str | None = None

    def __str__(self) -> str:
        size = "size not published" if self.bytes is None else f"{self.bytes / 1e9:.2f} GB"
        return f"{self.name} ({size}): {self.holds}"


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """A published dataset.

    Args:
        title: Full name.
        description: Content of the images, sensor, resolution.
        page: Where to download or request it.
        licence: Terms of use.
        citation: BibTeX.
        classes: Classes of the label maps.
        label_map: How the labels are stored, one sentence.
        crop: Side of a training sample in pixels, as published.
        base_size: Base size of the training resize as published, see `data.augment`.
        resolution_m: Ground resolution in metres per pixel; `None` where images differ.
        test_size: Scale in pixels that the published test resizes each tile to, keeping its aspect
            ratio.
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
    resolution_m: float | None = None


def instructions(spec: DatasetSpec, archives: Iterable[Archive]) -> str:
    """How to get a dataset, for `MANUAL_DOWNLOAD_INSTRUCTIONS`."""
    return (
        f"Get the originals of {spec.title} from {spec.page}:{listing(archives)}\n"
        "Put them into one folder, zipped or unpacked, and pass it as manual_dir."
    )
