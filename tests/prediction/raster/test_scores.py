"""Windows, blending and resampling, with models whose right answer is known."""

import contextlib
import itertools

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate

from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.rasters import without_georeference_warning
from keras_deeplab.prediction.raster import scores as scores_module
from keras_deeplab.prediction.raster.scene import open_scene
from keras_deeplab.prediction.raster.scores import plan_windows, scene_scores
from keras_deeplab.prediction.windows import Axis

FLOAT = ImageFormat((1,), (0.0, 255.0))  # stored values are those of the image
rng = np.random.default_rng(0)


@contextlib.contextmanager
def scene_of(folder, values):
    """A scene of one float band without georeference."""
    path = folder / "scene.tif"
    profile = {"driver": "GTiff", "dtype": "float32", "count": 1, "tiled": True}
    with without_georeference_warning():
        raster = rasterio.open(path, "w", height=values.shape[0], width=values.shape[1], **profile)
    with raster:
        raster.write(values.astype("float32"), 1)
    with open_scene([path], FLOAT) as scene:
        yield scene


def all_scores(scene, predict, *, scale=1.0, window=64, overlap=16, parts=None):
    """Scores of the whole scene."""
    height, width = scene.grid.height, scene.grid.width
    plan = plan_windows(height, width, scale=scale, window=window, overlap=overlap, classes=1)
    columns = []
    for part in parts or plan.parts(0, width):
        rows = list(scene_scores(scene, predict, plan, part))
        assert [first for first, _ in rows] == [
            sum(len(before) for _, before in rows[:index]) for index in range(len(rows))
        ]
        columns.append(np.concatenate([found for _, found in rows]))
    return np.concatenate(columns, axis=1)[..., 0]


@settings(deadline=None, max_examples=60)
@given(length=st.integers(1, 700), window=st.integers(2, 128), data=st.data())
def test_weights_sum_to_one_and_every_pixel_has_some(length, window, data):
    axis = Axis(length, window, data.draw(st.integers(0, window // 2)))
    total, most = np.zeros(length), np.zeros(length)
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        assert (weights >= 0).all() and 0 <= start <= length - axis.size
        total[start : start + axis.size] += weights
        most[start : start + axis.size] = np.maximum(most[start : start + axis.size], weights)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert (most > 0).all()


@pytest.mark.parametrize("scale", [0.4, 1.0, 1.7, 3.0])
def test_constant_gives_constant(tmp_path, scale):
    with scene_of(tmp_path, np.full((90, 217), 7)) as scene:
        found = all_scores(scene, lambda image: np.full((*image.shape[:2], 1), 3.5), scale=scale)
    np.testing.assert_allclose(found, 3.5, atol=1e-6)
    assert found.shape == (90, 217)


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 150),
    width=st.integers(1, 200),
    window=st.integers(8, 90),
    data=st.data(),
)
def test_a_per_pixel_model_gives_its_own_map(tmp_path_factory, height, width, window, data):
    overlap = data.draw(st.integers(0, window // 2))
    values = rng.uniform(0, 255, (height, width))
    with scene_of(tmp_path_factory.mktemp("scene"), values) as scene:
        found = all_scores(scene, lambda image: 2 * image + 1, window=window, overlap=overlap)
    np.testing.assert_allclose(found, 2 * values + 1, rtol=1e-5)


@pytest.mark.parametrize("size", [(200, 300), (64, 65), (30, 200), (70, 20)])
def test_a_local_model_equals_whole_image_prediction(tmp_path, size):
    """A quarter of the overlap on each side is context: 4 pixels, the reach of a 9 x 9 kernel.

    Away from the edge of the scene, where small ones are continued for the network.
    """
    values, kernel = rng.uniform(0, 255, size), rng.standard_normal((9, 9))

    def local(image):
        return correlate(image[..., 0], kernel.astype("float32"), mode="constant")[..., None]

    with scene_of(tmp_path, values) as scene:
        found = all_scores(scene, local)
    expected = correlate(values.astype("float32"), kernel.astype("float32"), mode="constant")
    inside = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("scale", [0.3, 0.77, 1.0, 1.5, 2.37, 4.0])
def test_a_position_does_not_shift_at_any_resolution(tmp_path, scale, axis):
    """The model answers with the column (or row) in the scene that it is shown."""
    shape = (211, 173)
    values = np.indices(shape)[axis] + 0.5
    with scene_of(tmp_path, values) as scene:
        found = all_scores(scene, lambda image: image, scale=scale)
    inside = tuple(slice(5, -5) for _ in shape)
    error = (found - values)[inside]
    assert abs(error.mean()) < 0.01 and np.abs(error).max() < 0.2


def test_parts_give_what_the_whole_gives(tmp_path):
    values, kernel = rng.uniform(0, 255, (100, 260)), rng.standard_normal((21, 21))

    def local(image):
        return correlate(image[..., 0], kernel.astype("float32"), mode="constant")[..., None]

    with scene_of(tmp_path, values) as scene:
        for scale in (1.0, 1.6):
            whole = all_scores(scene, local, scale=scale)
            parts = [(0, 40), (40, 41), (41, 200), (200, 260)]
            np.testing.assert_allclose(
                all_scores(scene, local, scale=scale, parts=parts), whole, atol=1e-3
            )


def test_windows_without_data_are_not_predicted(tmp_path):
    values = rng.uniform(0, 255, (64 * 3, 64 * 4))
    values[:, 70:200] = np.nan
    predicted = []
    with scene_of(tmp_path, values) as scene:
        found = all_scores(scene, lambda image: predicted.append(1) or image)
        count = len(Axis(192, 64, 16).starts) * len(Axis(256, 64, 16).starts)
    assert len(predicted) < count
    known = np.isfinite(values)
    np.testing.assert_allclose(found[known], values[known], rtol=1e-5)


def test_small_scenes_are_continued_to_the_size_of_the_network(tmp_path):
    shown = []
    with scene_of(tmp_path, np.array([[9.0]])) as scene:
        found = all_scores(scene, lambda image: shown.append(image) or image)
    assert found.tolist() == [[9.0]]
    np.testing.assert_array_equal(shown[0], np.full((32, 32, 1), 9))


def test_a_failing_model_ends_the_threads(tmp_path):
    def fail(image):
        raise RuntimeError("no memory")

    with scene_of(tmp_path, np.ones((300, 300))) as scene, pytest.raises(RuntimeError, match="mem"):
        all_scores(scene, fail)


def test_parts_are_as_wide_as_memory_allows(monkeypatch):
    monkeypatch.setattr(scores_module, "MEMORY", 4e6)
    plan = plan_windows(100, 5000, scale=1.0, window=64, overlap=8, classes=4)
    parts = list(plan.parts(0, 5000))
    assert parts[0][0] == 0 and parts[-1][1] == 5000 and len(parts) > 1
    assert all(left % 512 == 0 for left, _ in parts)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(parts))
