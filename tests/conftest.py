import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# "auto" is measured in tests/runtimes alone: it would take seconds in each of the others.
os.environ.setdefault("KERAS_DEEPLAB_RUNTIME", "keras")
os.environ.setdefault("KERAS_DEEPLAB_PRECISION", "float32")

import numpy as np
import pytest
from PIL import Image

# A shell starts background jobs with SIGINT ignored, and processes of the tests would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def labelled_folder(tmp_path):
    """A folder of three small images of different sizes with masks in two colours and black."""
    rng = np.random.default_rng(0)
    palette = np.array([(255, 0, 0), (0, 0, 255), (0, 0, 0)], np.uint8)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for index, size in enumerate(((64, 80), (48, 48), (70, 50))):
        cells = rng.integers(0, 3, (size[0] // 8 + 1, size[1] // 8 + 1))
        labels = cells.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]]
        noise = rng.integers(0, 40, (*size, 3))
        image = (palette[labels] // 2 + noise).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"scene_{index}.png")
        Image.fromarray(palette[labels]).save(tmp_path / "masks" / f"scene_{index}.png")
    (tmp_path / "classes.json").write_text(
        '{"classes": [{"name": "roof", "rgb": [255, 0, 0]}, {"name": "pool", "rgb": [0, 0, 255]}],'
        ' "ignore": [{"rgb": [0, 0, 0]}]}'
    )
    return tmp_path


@pytest.fixture
def tiny_networks():
    """Every variant is the tiny network, for tests in which the network does not matter."""
    import tiny

    with tiny.tiny_networks():
        yield
