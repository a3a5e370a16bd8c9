"""Published data sets by name: `keras_deeplab.data.load`."""

import contextlib
import difflib
import io
import pathlib

from keras_deeplab.data.datasets import BUILDERS
from keras_deeplab.data.datasets.source_files import files_below


def list_datasets():
    """Names that `load` takes: `dataset/config`, those of the published figures first.

    Returns:
        List of strings such as `potsdam/published` and `loveda/to_urban`.
    """
    return [
        f"{name}/{config.name}"
        for name, builder in BUILDERS.items()
        for config in builder.BUILDER_CONFIGS
    ]


def classes(name):
    """`ClassTable` of a data set: class names and colours in the order of their indices.

    Args:
        name: Data set, with or without config.

    Raises:
        ValueError: Lists the known names when `name` is none of them.
    """
    return dataset_spec(name).classes


def dataset_spec(name):
    """`DatasetSpec` of a data set: page, licence, citation, classes, published crop and scale."""
    return _builder_class(name).SPEC


def load(name, split="train", *, data_dir=None, manual_dir=None):
    """A published data set as pairs of image and label.

    At the first call the originals are cut into tiles and stored below `data_dir`, see
    `keras-deeplab prepare`; later calls read them from there.

    Args:
        name: `loveda`, `potsdam`, `vaihingen` or `isaid`, with a config after a slash if it is not
            the published one; see `list_datasets`.
        split: `"train"` or `"val"`, or a slice as tensorflow-datasets writes it: `"train[:10%]"`.
        data_dir: Folder of prepared data sets; `~/tensorflow_datasets` by default, or
            `$TFDS_DATA_DIR`.
        manual_dir: Folder with the originals, as zip files or unpacked; needed at the first call,
            but for LoveDA, which is downloaded.

    Returns:
        `tf.data.Dataset` of `(image, label)` in a fixed order: `(H, W, 3)` uint8 and `(H, W)`
        uint8 class indices with 255 for ignored pixels.

    Raises:
        ValueError: When the name is unknown, or originals are missing or not as published.
        DownloadError: When LoveDA's files are not the published ones.
    """
    return read(prepared(name, data_dir=data_dir, manual_dir=manual_dir), split)


def read(builder, split):
    """The `(image, label)` pairs of a prepared builder, see `load`."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    # No caching behind the caller's back; tiles are decoded again in each epoch or cached by him.
    dataset = builder.as_dataset(
        split=split, as_supervised=True, read_config=tfds.ReadConfig(try_autocache=False)
    )
    return dataset.map(
        lambda image, label: (image, tf.squeeze(label, -1)), num_parallel_calls=tf.data.AUTOTUNE
    )


def tile_names(builder, split):
    """Yields scene, row and column of each tile, in the order of `read`."""
    import tensorflow_datasets as tfds

    places = builder.as_dataset(
        split=split,
        decoders=tfds.decode.PartialDecoding({"scene": True, "row": True, "column": True}),
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    for place in places.as_numpy_iterator():
        yield f"{place['scene'].decode()} row {place['row']} column {place['column']}"


def prepared(name, *, data_dir=None, manual_dir=None):
    """The tfds builder of a data set, whose tiles are made now if they are not there yet.

    Args:
        name: See `load`.
        data_dir: See `load`.
        manual_dir: See `load`.

    Returns:
        `tensorflow_datasets.core.DatasetBuilder`.

    Raises:
        ValueError: See `load`.
        DownloadError: See `load`.
    """
    import tensorflow_datasets as tfds

    builder = dataset_builder(name, data_dir=data_dir)
    if not is_prepared(builder):
        if manual_dir is not None:
            files_below(manual_dir)  # a ValueError, where tfds would raise an AssertionError
        # tfds announces "Unknown size" and counts without a total; the builder has its own bar.
        with contextlib.redirect_stdout(io.StringIO()), _without_bars():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
            )
    return builder


def is_prepared(builder):
    """Whether the tiles of a builder are there."""
    return builder.data_path.exists() and builder.is_prepared()  # tfds warns of a missing folder


@contextlib.contextmanager
def _without_bars():
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()


def dataset_builder(name, *, data_dir=None):
    """The tfds builder of a data set, prepared or not."""
    known = {config.name for config in _builder_class(name).BUILDER_CONFIGS}
    config = name.partition("/")[2] or None
    if config is not None and config not in known:
        raise _unknown(name, list_datasets())
    if data_dir is not None:
        data_dir = pathlib.Path(data_dir).expanduser()
    return _builder_class(name)(config=config, data_dir=data_dir)


def _builder_class(name):
    builder = BUILDERS.get(name.partition("/")[0])
    if builder is None:
        raise _unknown(name, [*BUILDERS, *list_datasets()])
    return builder


def _unknown(name, known):
    close = difflib.get_close_matches(name, known, 3, 0.4)
    return ValueError(
        f"Unknown data set {name!r}. "
        + (f"Did you mean {' or '.join(close)}? " if close else "")
        + f"There are: {', '.join(list_datasets())}."
    )
