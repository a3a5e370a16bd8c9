"""iSAID: semantic labels for the aerial images of DOTA."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.datasets.builder import LabelledScenes, TileConfig
from keras_deeplab.data.datasets.cutting import decode_colors
from keras_deeplab.data.datasets.scenes import Split, splits_by_folder
from keras_deeplab.data.datasets.spec import IMAGE, LABEL, Archive, DatasetSpec, instructions

if TYPE_CHECKING:
    from rasterio import DatasetReader

CLASSES = ClassTable(
    names=(
        *("background", "ship", "store_tank", "baseball_diamond", "tennis_court"),
        *("basketball_court", "Ground_Track_Field", "Bridge", "Large_Vehicle", "Small_Vehicle"),
        *("Helicopter", "Swimming_pool", "Roundabout", "Soccer_ball_field", "plane", "Harbor"),
    ),
    palette=(
        (0, 0, 0),
        (0, 0, 63),
        (0, 63, 63),
        (0, 63, 0),
        (0, 63, 127),
        (0, 63, 191),
        (0, 63, 255),
        (0, 127, 63),
        (0, 127, 127),
        (0, 0, 127),
        (0, 0, 191),
        (0, 0, 255),
        (0, 191, 127),
        (0, 127, 191),
        (0, 127, 255),
        (0, 100, 155),
    ),
)
TILE, OVERLAP = 896, 384  # of the reference
FILE = re.compile(r"(p\d+)(_instance_color_rgb)?\.png")
SPLITS = {"train": 1411, "val": 458}  # images; the labels of "test" are not public
ARCHIVES = (
    Archive("train/images/part1.zip, part2.zip, part3.zip", IMAGE, "1411 images P*.png"),
    Archive("train/Semantic_masks/images.zip", LABEL, "1411 labels P*_instance_color_RGB.png"),
    Archive("val/images/part1.zip", IMAGE, "458 images P*.png"),
    Archive("val/Semantic_masks/images.zip", LABEL, "458 labels P*_instance_color_RGB.png"),
)


class Isaid(LabelledScenes):
    """Builder of the iSAID patches; `tfds.load("isaid")`."""

    SPEC = DatasetSpec(
        title="iSAID",
        description="Aerial images of DOTA, about 800 to 13,000 pixels per side, 15 classes.",
        page="https://captain-whu.github.io/iSAID/dataset.html",
        licence="For academic use; the images follow the terms of DOTA. May not be redistributed.",
        citation="""@inproceedings{waqas2019isaid,
  title = {iSAID: A Large-scale Dataset for Instance Segmentation in Aerial Images},
  author = {Waqas Zamir, Syed and Arora, Aditya and Gupta, Akshita and Khan, Salman and Sun, Guolei
            and Shahbaz Khan, Fahad and Zhu, Fan and Shao, Ling and Xia, Gui-Song and Bai, Xiang},
  booktitle = {CVPR Workshops},
  pages = {28--37},
  year = {2019}
}""",
        classes=CLASSES,
        label_map="Labels are colours; black is the background class.",
        crop=896,
        base_size=(896, 896),
        test_size=(896, 896),
    )
    BUILDER_CONFIGS: ClassVar = [
        TileConfig(
            name="published",
            description=f"Patches of {TILE} pixels that overlap by {OVERLAP}.",
            size=TILE,
            step=TILE - OVERLAP,
            pad=True,
            tiles={"train": 33_978, "val": 11_644},  # as the reference states
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(SPEC, ARCHIVES)

    def archives(self) -> Sequence[Archive]:
        return ARCHIVES

    def splits(self) -> dict[str, Split]:
        return splits_by_folder(SPLITS)

    def locate(self, parts: tuple[str, ...]) -> tuple[str, str] | None:
        found = FILE.fullmatch(parts[-1])
        splits = [part for part in parts[:-1] if part in SPLITS]
        if found is None or not splits:
            return None
        # The innermost folder counts: the folder of all files may be named "train" too.
        return "label" if found[2] else "image", f"{splits[-1]}/{found[1].upper()}"

    def decode(self, raster: DatasetReader, rows: slice, name: str) -> np.ndarray:
        return decode_colors(raster, rows, name, CLASSES)
