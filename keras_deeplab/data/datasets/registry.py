"""Published datasets by name: `keras_deeplab.data.load`."""

from __future__ import annotations

import contextlib
import difflib
import io
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from keras_deeplab._internal.errors import InputError
from keras_deeplab._internal.files import StrPath
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.data.datasets import BUILDERS
from keras_deeplab.data.datasets.builder import LabelledScenes
from keras_deeplab.data.datasets.source_files import files_below
from keras_deeplab.data.datasets.spec import DatasetSpec
from keras_deeplab.data.elements import Elements, note_elements

if TYPE_CHECKING:
    import tensorflow as tf


def list_datasets() -> list[str]:
    """Names that `load` accepts: `dataset/config`, for each dataset the published config first.

    Returns:
        Names such as `potsdam/published` and `loveda/to_urban`.
    """
    return [
        f"{name}/{config.name}"
        for name, builder in BUILDERS.items()
        for config in builder.BUILDER_CONFIGS
    ]


def classes(name: str) -> ClassTable:
    """Class table of a dataset: class names and colours in the order of their indices.

    Args:
        name: Dataset, with or without config.

    Raises:
        ValueError: When the name is unknown; lists the known names.
    """
    return dataset_spec(name).classes


def dataset_spec(name: str) -> DatasetSpec:
    """Spec of a dataset: page, licence, citation, classes, published crop and scale."""
    return _builder_class(name).SPEC


def load(
    name: str,
    split: str = "train",
    *,
    data_dir: StrPath | None = None,
    manual_dir: StrPath | None = None,
) -> tf.data.Dataset:
    """A published dataset of `(image, label)` pairs.

    The first call cuts the originals into tiles and stores them in `data_dir`, see
    `keras-deeplab prepare`; later calls read the tiles.

    Args:
        name: `loveda`, `potsdam`, `vaihingen` or `isaid`, with a config after a slash unless it is
            the published one; see `list_datasets`.
        split: `"train"` or `"val"`, or a slice in tensorflow-datasets syntax: `"train[:10%]"`.
        data_dir: Folder of prepared datasets; by default `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        manual_dir: Folder with the originals, as zip files or unpacked. Required for the first
            call, except for LoveDA, which is downloaded.

    Returns:
        Dataset of `(image, label)` in a fixed order: `(H, W, 3)` uint8 and `(H, W)` uint8 class
        indices with 255 for ignored pixels.

    Raises:
        ValueError: When the name is unknown, or originals are missing or not as published.
        DownloadError: When LoveDA's files are not the published ones.
    """
    return read(prepared(name, data_dir=data_dir, manual_dir=manual_dir), split)


def read(builder: LabelledScenes, split: str) -> tf.data.Dataset:
    """The `(image, label)` pairs of a prepared builder, see `load`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    # No automatic caching: the caller decides.
    dataset = builder.as_dataset(
        split=split, as_supervised=True, read_config=tfds.ReadConfig(try_autocache=False)
    )
    dataset = dataset.map(
        lambda image, label: (image, tf.squeeze(label, -1)), num_parallel_calls=tf.data.AUTOTUNE
    )
    size = builder.builder_config.size
    if size is None:  # whole images, which may differ in size
        return dataset
    return note_elements(dataset, Elements(int(dataset.cardinality()) * size**2 * (3 + 1)))


def tile_names(builder: LabelledScenes, split: str) -> Iterator[str]:
    """Yields scene, row and column of each tile, in the order of `read`."""
    import tensorflow_datasets as tfds

    places = builder.as_dataset(
        split=split,
        decoders=tfds.decode.PartialDecoding({"scene": True, "row": True, "column": True}),
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    for place in places.as_numpy_iterator():
        yield f"{place['scene'].decode()} row {place['row']} column {place['column']}"


def prepared(
    name: str, *, data_dir: StrPath | None = None, manual_dir: StrPath | None = None
) -> LabelledScenes:
    """The tfds builder of a dataset; prepares its tiles if they do not exist yet.

    Args:
        name: See `load`.
        data_dir: See `load`.
        manual_dir: See `load`.

    Raises:
        ValueError: See `load`.
        DownloadError: See `load`.
    """
    import tensorflow_datasets as tfds

    builder = dataset_builder(name, data_dir=data_dir)
    if not is_prepared(builder):
        if manual_dir is not None:
            files_below(manual_dir)  # a ValueError instead of tfds's AssertionError
        # tfds prints "Unknown size" and a bar without total; the builder has its own bar.
        with contextlib.redirect_stdout(io.StringIO()), _without_bars():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
            )
    return builder


def is_prepared(builder: LabelledScenes) -> bool:
    """Whether the tiles of a builder exist."""
    return builder.data_path.exists() and builder.is_prepared()  # tfds warns of a missing folder


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()


def dataset_builder(name: str, *, data_dir: StrPath | None = None) -> LabelledScenes:
    """The tfds builder of a dataset, prepared or not."""
    known = {config.name for config in _builder_class(name).BUILDER_CONFIGS}
    config = name.partition("/")[2] or None
    if config is not None and config not in known:
        raise _unknown(name, list_datasets())
    if data_dir is not None:
        data_dir = pathlib.Path(data_dir).expanduser()
    return _builder_class(name)(config=config, data_dir=data_dir)


def _builder_class(name: str) -> type[LabelledScenes]:
    builder = BUILDERS.get(name.partition("/")[0])
    if builder is None:
        raise _unknown(name, [*BUILDERS, *list_datasets()])
    return builder


def _unknown(name: str, known: Sequence[str]) -> InputError:
    close = difflib.get_close_matches(name, known, 3, 0.4)
    return InputError(
        f"Unknown dataset {name!r}. "
        + (f"Did you mean {' or '.join(close)}? " if close else "")
        + f"Known: {', '.join(list_datasets())}."
    )
