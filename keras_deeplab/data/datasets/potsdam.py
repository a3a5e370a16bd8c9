"""ISPRS 2D Semantic Labeling Contest, Potsdam."""

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

# The split of the reference: the training tiles of the contest, and its test tiles.
TRAIN = (
    *("2_10", "2_11", "2_12", "3_10", "3_11", "3_12", "4_10", "4_11", "4_12", "5_10", "5_11"),
    *("5_12", "6_7", "6_8", "6_9", "6_10", "6_11", "6_12", "7_7", "7_8", "7_9", "7_10", "7_11"),
    "7_12",
)
VAL = (
    *("2_13", "2_14", "3_13", "3_14", "4_13", "4_14", "4_15", "5_13", "5_14", "5_15", "6_13"),
    *("6_14", "6_15", "7_13"),
)
# Labels with colours outside the palette: a blend of two images in 4_12, cars in (252, 255, 0) in
# 6_7. These pixels are ignored, as in the reference; all other labels are exact.
FLAWED = ("4_12", "6_7")
FILE = re.compile(r"top_potsdam_0*(\d+)_0*(\d+)_(rgb|irrg|label|label_noboundary)\.(tif|tiff|png)")
ARCHIVES = {
    "rgb": Archive("2_Ortho_RGB.zip", IMAGE, "38 images top_potsdam_*_RGB.tif, 6000 x 6000"),
    "irrg": Archive("3_Ortho_IRRG.zip", IMAGE, "38 images top_potsdam_*_IRRG.tif, 6000 x 6000"),
    "label": Archive("5_Labels_all.zip", LABEL, "38 labels top_potsdam_*_label.tif, 6000 x 6000"),
    "label_noboundary": Archive(
        "5_Labels_all_noBoundary.zip",
        LABEL,
        "38 labels top_potsdam_*_label_noBoundary.tif, 6000 x 6000",
    ),
}


class Potsdam(LabelledScenes):
    """Builder of the Potsdam tiles; `tfds.load("potsdam/published")`."""

    SPEC = DatasetSpec(
        title="ISPRS 2D Semantic Labeling Contest, Potsdam",
        description="True orthophotos (5 cm), 38 tiles of 6000 x 6000 pixels, six classes.",
        page=f"{isprs.PAGES}/2d-sem-label-potsdam.aspx",
        licence=isprs.LICENCE,
        citation=isprs.CITATION,
        classes=isprs.CLASSES,
        label_map=isprs.LABEL_MAP,
        crop=512,
        base_size=(512, 512),
        test_size=(512, 512),
        resolution_m=0.05,
    )
    BUILDER_CONFIGS = isprs.configs(
        ("rgb", "irrg"),
        # 12 x 12 and 23 x 23 tiles of each scene; the reference states the first two numbers.
        {
            "published": {"train": 3456, "val": 2016},
            "overlapping": {"train": 12_696, "val": 7406},
        },
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(SPEC, ARCHIVES.values())

    def _kinds(self) -> tuple[str, str]:
        config = self.builder_config
        return config.channels, "label_noboundary" if config.eroded else "label"

    def archives(self) -> Sequence[Archive]:
        return [ARCHIVES[kind] for kind in self._kinds()]

    def splits(self) -> dict[str, Split]:
        return splits_by_name({"train": TRAIN, "val": VAL})

    def locate(self, parts: tuple[str, ...]) -> tuple[str, str] | None:
        # "5_Labels_for_participants" contains only the training labels, under the same names.
        if any("participants" in part for part in parts):
            return None
        found = FILE.fullmatch(parts[-1])
        if found is None or found[3] not in self._kinds():
            return None
        return "label" if "label" in found[3] else "image", f"{found[1]}_{found[2]}"

    def decode(self, raster: DatasetReader, rows: slice, name: str) -> np.ndarray:
        place = self.locate((name.rpartition("/")[2].lower(),))
        flawed = place is not None and place[1] in FLAWED
        return decode_colors(raster, rows, name, isprs.CLASSES, ignore_unknown=flawed)
