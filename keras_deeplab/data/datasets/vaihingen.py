"""ISPRS 2D Semantic Labeling Contest, Vaihingen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from keras_deeplab.data.datasets import isprs
from keras_deeplab.data.datasets.builder import LabelledScenes
from keras_deeplab.data.datasets.cutting import decode_colors
from keras_deeplab.data.datasets.scenes import Split, splits_by_name
from keras_deeplab.data.datasets.spec import IMAGE, LABEL, Archive, DatasetSpec, instructions

if TYPE_CHECKING:
    from rasterio import DatasetReader

# The split of the reference: the training areas of the contest, and its test areas.
TRAIN = tuple(
    f"area{number}" for number in (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37)
)
VAL = tuple(
    f"area{number}" for number in (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38)
)
FILE = re.compile(r"top_mosaic_09cm_area0*(\d+)(_noboundary)?\.(tif|tiff|png)")
CRAMER = """@article{cramer2010dgpf,
  title = {The {DGPF}-Test on Digital Airborne Camera Evaluation -- Overview and Test Design},
  author = {Cramer, Michael},
  journal = {Photogrammetrie, Fernerkundung, Geoinformation},
  number = {2},
  pages = {73--82},
  year = {2010}
}"""
IMAGES = Archive(
    "ISPRS_semantic_labeling_Vaihingen.zip", IMAGE, "33 images top/top_mosaic_09cm_area*.tif"
)
LABELS = {
    True: Archive(
        "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE.zip",
        LABEL,
        "33 labels top_mosaic_09cm_area*_noBoundary.tif",
    ),
    False: Archive(
        "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE.zip",
        LABEL,
        "33 labels top_mosaic_09cm_area*.tif",
    ),
}


class Vaihingen(LabelledScenes):
    """Builder of the Vaihingen tiles; `tfds.load("vaihingen/published")`."""

    SPEC = DatasetSpec(
        title="ISPRS 2D Semantic Labeling Contest, Vaihingen",
        description=(
            "True orthophotos (9 cm), 33 areas of about 2000 x 2500 pixels, six classes; the "
            "channels are near infrared, red and green."
        ),
        page=f"{isprs.PAGES}/2d-sem-label-vaihingen.aspx",
        licence=(
            f"{isprs.LICENCE} The data set was provided by the German Society for Photogrammetry, "
            "Remote Sensing and Geoinformation (DGPF) [Cramer, 2010]."
        ),
        citation=f"{isprs.CITATION}\n{CRAMER}",
        classes=isprs.CLASSES,
        label_map=isprs.LABEL_MAP,
        crop=512,
        base_size=(512, 512),
        test_size=(512, 512),
        resolution_m=0.09,
    )
    BUILDER_CONFIGS = isprs.configs(
        ("irrg",),
        # As stated by the reference, and as its users count at a step of 256.
        {
            "published": {"train": 344, "val": 398},
            "overlapping": {"train": 1046, "val": 1208},
        },
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(SPEC, [IMAGES, *LABELS.values()])

    def archives(self) -> Sequence[Archive]:
        return [IMAGES, LABELS[self.builder_config.eroded]]

    def splits(self) -> dict[str, Split]:
        return splits_by_name({"train": TRAIN, "val": VAL})

    def locate(self, parts: tuple[str, ...]) -> tuple[str, str] | None:
        """Images and full labels have the same names: the folder or archive distinguishes them."""
        found = FILE.fullmatch(parts[-1])
        if found is None:
            return None
        area, eroded = f"area{found[1]}", found[2] is not None
        if eroded or any("ground_truth" in part for part in parts[:-1]):
            return ("label", area) if eroded == self.builder_config.eroded else None
        # "gts_for_participants" next to "top" repeats the labels of the training areas.
        if "top" in parts[:-1] or IMAGES.name.lower().removesuffix(".zip") == parts[-2:][0]:
            return "image", area
        return None

    def decode(self, raster: DatasetReader, rows: slice, name: str) -> np.ndarray:
        return decode_colors(raster, rows, name, isprs.CLASSES)
