"""LoveDA: land cover of urban and rural scenes in three Chinese cities."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import file_md5
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.datasets.builder import LabelledScenes, TileConfig
from keras_deeplab.data.datasets.cutting import read_rows
from keras_deeplab.data.datasets.scenes import Split, splits_by_folder
from keras_deeplab.data.datasets.spec import IMAGE, LABEL, Archive, DatasetSpec, instructions
from keras_deeplab.downloads.cache import DownloadError
from keras_deeplab.downloads.fetch import source_of

if TYPE_CHECKING:
    from rasterio import DatasetReader

CLASSES = ClassTable(
    names=("background", "building", "road", "water", "barren", "forest", "agricultural"),
    palette=(
        (255, 255, 255),
        (255, 0, 0),
        (255, 255, 0),
        (0, 0, 255),
        (159, 129, 183),
        (0, 255, 0),
        (255, 195, 128),
    ),
)
FILES = "https://zenodo.org/records/5706578/files"
ARCHIVES = (
    Archive(
        "Train.zip",
        IMAGE + LABEL,
        "2522 images and labels of 1024 x 1024",
        url=f"{FILES}/Train.zip",
        bytes=4_021_669_263,
        md5="de2b196043ed9b4af1690b3f9a7d558f",
    ),
    Archive(
        "Val.zip",
        IMAGE + LABEL,
        "1669 images and labels of 1024 x 1024",
        url=f"{FILES}/Val.zip",
        bytes=2_425_958_254,
        md5="84cae2577468ff0b5386758bb386d31d",
    ),
)
URBAN, RURAL = "urban", "rural"
FOLDERS = {"images_png": "image", "masks_png": "label"}
SCENES = {  # the labels of "test" are not public
    ("train", URBAN): 1156,
    ("train", RURAL): 1366,
    ("val", URBAN): 677,
    ("val", RURAL): 992,
}


@dataclasses.dataclass(eq=False)
class LoveDAConfig(TileConfig):
    """Kinds of scenes in each split."""

    train: tuple[str, ...] = (URBAN, RURAL)
    val: tuple[str, ...] = (URBAN, RURAL)

    def __post_init__(self) -> None:
        for split in ("train", "val"):
            self.tiles[split] = sum(SCENES[split, kind] for kind in getattr(self, split))


class LoveDA(LabelledScenes):
    """Builder of LoveDA; `tfds.load("loveda/all")`. Downloads the files automatically."""

    name = "loveda"
    SPEC = DatasetSpec(
        title="LoveDA",
        description=(
            "Satellite images (0.3 m) of Nanjing, Changzhou and Wuhan, 1024 x 1024 pixels, urban "
            "and rural scenes, seven classes."
        ),
        page="https://zenodo.org/records/5706578",
        licence="CC BY-NC-SA 4.0; for academic use.",
        citation="""@inproceedings{wang2021loveda,
  title = {{LoveDA}: A Remote Sensing Land-Cover Dataset for Domain Adaptive Semantic Segmentation},
  author = {Wang, Junjue and Zheng, Zhuo and Ma, Ailong and Lu, Xiaoyan and Zhong, Yanfei},
  booktitle = {Proceedings of the Neural Information Processing Systems Track on Datasets and
               Benchmarks},
  volume = {1},
  year = {2021}
}""",
        classes=CLASSES,
        label_map="Labels are 1 to 7, which become 0 to 6; 0 is nodata and ignored.",
        crop=512,
        base_size=(2048, 512),
        test_size=(1024, 1024),
        resolution_m=0.3,
    )
    BUILDER_CONFIGS: ClassVar = [
        LoveDAConfig(name="all", description="Urban and rural scenes."),
        LoveDAConfig(name=URBAN, description="Urban scenes.", train=(URBAN,), val=(URBAN,)),
        LoveDAConfig(name=RURAL, description="Rural scenes.", train=(RURAL,), val=(RURAL,)),
        LoveDAConfig(
            name="to_urban",
            description="Trained on rural scenes, evaluated on urban ones.",
            train=(RURAL,),
            val=(URBAN,),
        ),
        LoveDAConfig(
            name="to_rural",
            description="Trained on urban scenes, evaluated on rural ones.",
            train=(URBAN,),
            val=(RURAL,),
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = instructions(SPEC, ARCHIVES)

    def archives(self) -> Sequence[Archive]:
        return ARCHIVES

    def splits(self) -> dict[str, Split]:
        return splits_by_folder(self.builder_config.tiles)

    def locate(self, parts: tuple[str, ...]) -> tuple[str, str] | None:
        """Scenes are named by split, urban or rural, and number: `train/urban/1366`."""
        if len(parts) < 4 or not parts[-1].endswith(".png"):
            return None
        kind, folder, file = parts[-3:]
        splits = [part for part in parts[:-3] if part in ("train", "val")]
        if (
            folder not in FOLDERS
            or not splits
            or kind not in getattr(self.builder_config, splits[-1])
        ):
            return None
        return FOLDERS[folder], f"{splits[-1]}/{kind}/{file.removesuffix('.png')}"

    def decode(self, raster: DatasetReader, rows: slice, name: str) -> np.ndarray:
        raw = read_rows(raster, rows, name)
        if raw.shape[-1] != 1:
            raise InputError(f"{name}: expected a label of 1 channel, found {raw.shape[-1]}.")
        raw = raw[..., 0]
        wrong = np.argwhere(raw > len(CLASSES))
        if wrong.size:
            row, column = wrong[0].tolist()
            raise InputError(
                f"{name}: expected labels 0 to {len(CLASSES)}, found {raw[row, column]} at row "
                f"{rows.start + row}, column {column}."
            )
        return raw - 1  # uint8: 0 becomes 255, which is ignored

    def files(self, dl_manager: tfds.download.DownloadManager) -> dict[str, pathlib.Path]:
        """Files of LoveDA in the folder of manual downloads if there are any, else from Zenodo.

        Raises:
            DownloadError: When the MD5 of a download is not the published one. The download is
                removed.
        """
        try:
            manual = super().files(dl_manager)
        except ValueError:  # there is no such folder
            manual = {}
        wanted = {archive.name.lower() for archive in ARCHIVES} | FOLDERS.keys()
        if any(wanted & set(name.lower().split("/")) for name in manual):
            return manual
        sources = {
            archive.name: source_of(archive.url, archive.name)
            for archive in ARCHIVES
            if archive.url is not None
        }
        urls = {name: source for name, source in sources.items() if isinstance(source, str)}
        found = {**sources, **dl_manager.download(urls)}
        paths = {name: pathlib.Path(path) for name, path in found.items()}
        for archive in ARCHIVES:
            _check(paths[archive.name], archive)
        return paths


def _check(path: pathlib.Path, archive: Archive) -> None:
    digest = file_md5(path)
    if digest != archive.md5:
        path.unlink()
        path.with_name(f"{path.name}.INFO").unlink(missing_ok=True)  # tfds: "is downloaded"
        raise DownloadError(
            f"{archive.name} is not the published file: its MD5 is {digest}, expected "
            f"{archive.md5}. The download was removed. Try again, or put the file into a folder "
            "and pass it as manual_dir."
        )
