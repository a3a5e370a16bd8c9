"""A `tensorflow_datasets` builder for images that are published with a label of the same size."""

from __future__ import annotations

import dataclasses
import itertools
import operator
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from keras_deeplab._internal.errors import InputError
from keras_deeplab.data.datasets.cutting import check_sizes, cut_scenes
from keras_deeplab.data.datasets.scenes import Scene, Split, find_scenes, image_size
from keras_deeplab.data.datasets.source_files import SourceFiles, files_below
from keras_deeplab.data.datasets.spec import Archive, DatasetSpec
from keras_deeplab.data.files.grid import count_windows

if TYPE_CHECKING:
    from rasterio import DatasetReader


@dataclasses.dataclass(eq=False)
class TileConfig(tfds.core.BuilderConfig):
    """How the originals are tiled.

    Args:
        size: Side of a tile in pixels, `None` for whole images.
        step: Pixels from one tile to the next.
        pad: Whether images smaller than a tile are padded to its size.
        tiles: Number of tiles in each split of the complete dataset.
    """

    size: int | None = None
    step: int | None = None
    pad: bool = False
    tiles: dict[str, int] = dataclasses.field(default_factory=dict)


class LabelledScenes(  # type: ignore[call-arg]  # mypy does not see tfds's __init_subclass__
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """Builder of a dataset with images and labels in separate files.

    A subclass defines `SPEC` and `BUILDER_CONFIGS` and implements `archives`, `splits`, `locate`
    and `decode`; see `find_scenes` and `cut_scenes` for their arguments and results.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release."}
    SPEC: DatasetSpec

    def archives(self) -> Sequence[Archive]:
        """Downloads that this config needs."""
        raise NotImplementedError

    def splits(self) -> dict[str, Split]:
        """Scenes of each split of this config."""
        raise NotImplementedError

    def locate(self, parts: tuple[str, ...]) -> tuple[str, str] | None:
        """Kind and scene of a file."""
        raise NotImplementedError

    def decode(self, raster: DatasetReader, rows: slice, name: str) -> np.ndarray:
        """Label map of some rows of a label."""
        raise NotImplementedError

    def files(self, dl_manager: tfds.download.DownloadManager) -> dict[str, pathlib.Path]:
        """Name to path of the downloaded files: those in the folder of manual downloads.

        Raises:
            ValueError: When that folder is missing or empty; says what to put there.
        """
        try:
            return files_below(dl_manager.manual_dir)
        except AssertionError as error:  # of tfds, with MANUAL_DOWNLOAD_INSTRUCTIONS
            raise InputError(str(error)) from error

    def plan(self, paths: Mapping[str, pathlib.Path]) -> dict[str, list[Scene]]:
        """Finds the scenes of each split among downloaded files, without tiling them.

        Args:
            paths: Name to path, see `files_below`.

        Returns:
            Scenes by split name.

        Raises:
            ValueError: See `find_scenes`.
        """
        archives = self.archives()
        # An attribute, so that files unpacked from nested zips exist as long as the builder.
        self._sources = SourceFiles(
            paths, work_dir=self._work_dir(), nested=[archive.name for archive in archives]
        )
        return find_scenes(
            self._sources, self.locate, self.splits(), spec=self.SPEC, archives=archives
        )

    def count_tiles(self, scene: Scene) -> tuple[int, int]:
        """Number of tiles of a scene, and its number of pixels.

        Reads the headers of both files, which in a zip may require unpacking the whole file.

        Raises:
            ValueError: When image and label differ in size.
        """
        width, height = image_size(scene.image)
        check_sizes(scene, (width, height), image_size(scene.label))
        config = self.builder_config
        size = config.size or max(width, height)
        return count_windows(height, width, size, config.step or size), height * width

    def _info(self) -> tfds.core.DatasetInfo:
        spec = self.SPEC
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{spec.title}. {spec.description} {spec.label_map}",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "label": tfds.features.LabeledImage(
                        shape=(None, None, 1),
                        labels=list(spec.classes.names),
                        encoding_format="png",
                    ),
                    "scene": tfds.features.Text(doc="Scene of the tile."),
                    "row": tfds.features.Scalar(np.int64, doc="First row in the scene."),
                    "column": tfds.features.Scalar(np.int64, doc="First column in the scene."),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=spec.page,
            citation=spec.citation,
            license=spec.licence,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        scenes = self.plan(self.files(dl_manager))
        return {split: self._generate_examples(split, scenes[split]) for split in scenes}

    def _generate_examples(
        self, split: str, scenes: Sequence[Scene]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        config = self.builder_config
        tiles = cut_scenes(
            scenes,
            size=config.size,
            step=config.step,
            decode=self.decode,
            pad=config.pad,
            work_dir=self._work_dir(),
        )
        with tqdm.tqdm(desc=f"{self.name} {split}", total=len(scenes), unit=" scenes") as bar:
            for scene, group in itertools.groupby(tiles, key=operator.itemgetter(0)):
                for _, row, column, image, label in group:
                    example = {
                        "image": image,
                        "label": label,
                        "scene": scene.name,
                        "row": row,
                        "column": column,
                    }
                    yield f"{scene.name}:{row}:{column}", example
                bar.update()

    def _work_dir(self) -> pathlib.Path:
        """Folder for unpacked files, on the disk of the prepared dataset."""
        return pathlib.Path(self.data_dir).parent
