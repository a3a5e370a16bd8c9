"""A `tensorflow_datasets` builder for images that are published with a label of the same size."""

import dataclasses
import itertools
import operator
import pathlib
import typing

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from keras_deeplab.data.datasets.cutting import check_sizes, cut_scenes
from keras_deeplab.data.datasets.scenes import find_scenes, image_size
from keras_deeplab.data.datasets.source_files import SourceFiles, files_below
from keras_deeplab.data.files.grid import count_windows


@dataclasses.dataclass(eq=False)
class TileConfig(tfds.core.BuilderConfig):
    """How the originals are cut.

    Args:
        size: Side of a tile in pixels, `None` for whole images.
        step: Pixels from one tile to the next.
        pad: Whether images smaller than a tile are filled up to its size.
        tiles: Tiles of each split that the whole published data set gives.
    """

    size: int | None = None
    step: int | None = None
    pad: bool = False
    tiles: dict[str, int] = dataclasses.field(default_factory=dict)


class LabelledScenes(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builder of a data set that is images and labels in files of their own.

    A subclass states `SPEC` and `BUILDER_CONFIGS` and implements `archives`, `splits`, `locate`
    and `decode`; what these get and return is said at `find_scenes` and `cut_scenes`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: typing.ClassVar = {"1.0.0": "First release."}
    SPEC = None

    def archives(self):
        """`Archive`s that this config needs."""
        raise NotImplementedError

    def splits(self):
        """Scenes of each split of this config."""
        raise NotImplementedError

    def locate(self, parts):
        """Kind and scene of a file."""
        raise NotImplementedError

    def decode(self, raster, rows, name):
        """Label map of rows of a label."""
        raise NotImplementedError

    def files(self, dl_manager):
        """Name to path of the downloaded files: those in the folder of manual downloads.

        Raises:
            ValueError: When that folder does not exist or is empty; says what belongs there.
        """
        try:
            return files_below(dl_manager.manual_dir)
        except AssertionError as error:  # of tfds, with MANUAL_DOWNLOAD_INSTRUCTIONS
            raise ValueError(str(error)) from error

    def plan(self, paths):
        """Finds the scenes of each split among downloaded files; cuts nothing.

        Args:
            paths: Name to path, as `files_below` gives it.

        Returns:
            Split name to list of `Scene`.

        Raises:
            ValueError: See `find_scenes`.
        """
        archives = self.archives()
        # Kept with the builder: what is unpacked from a zip in a zip is removed with it.
        self._sources = SourceFiles(
            paths, work_dir=self._work_dir(), nested=[archive.name for archive in archives]
        )
        return find_scenes(
            self._sources, self.locate, self.splits(), spec=self.SPEC, archives=archives
        )

    def count_tiles(self, scene):
        """Number of examples that a scene will give, and its pixels.

        Reads the headers of both files, which in a zip may lie behind all of their content.

        Raises:
            ValueError: When image and label differ in size.
        """
        width, height = image_size(scene.image)
        check_sizes(scene, (width, height), image_size(scene.label))
        config = self.builder_config
        size = config.size or max(width, height)
        return count_windows(height, width, size, config.step or size), height * width

    def _info(self):
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
                    "scene": tfds.features.Text(doc="Original that the tile was cut from."),
                    "row": tfds.features.Scalar(np.int64, doc="First row of the tile in it."),
                    "column": tfds.features.Scalar(np.int64, doc="First column of the tile in it."),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=spec.page,
            citation=spec.citation,
            license=spec.licence,
        )

    def _split_generators(self, dl_manager):
        scenes = self.plan(self.files(dl_manager))
        return {split: self._generate_examples(split, scenes[split]) for split in scenes}

    def _generate_examples(self, split, scenes):
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

    def _work_dir(self):
        """Folder on the disk where the data set will be: what is unpacked has room there."""
        return pathlib.Path(self.data_dir).parent
