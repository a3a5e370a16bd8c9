"""At which ground resolution a scene is predicted, and what is said."""

import pytest

from keras_deeplab.prediction.raster.resolution import choose_scale


@pytest.mark.parametrize("scene_m", [0.5, 0.4, 0.41, 0.62])
def test_near_the_models_resolution_the_scene_is_predicted_as_it_is(scene_m, caplog):
    assert choose_scale(scene_m, 0.5, "model") == 1
    assert not caplog.records


@pytest.mark.parametrize("scene_m", [0.05, 0.39, 0.64, 1.99])
def test_another_resolution_is_predicted_at_the_models_and_one_line_says_so(scene_m, caplog):
    assert choose_scale(scene_m, 0.5, "model") * scene_m == pytest.approx(0.5)
    (record,) = caplog.records
    assert f"{scene_m:.3g} m" in record.getMessage() and "0.5 m" in record.getMessage()


def test_too_coarse_a_scene_is_refused_unless_one_decides(caplog):
    with pytest.raises(ValueError, match=r"enlarged 6\.0 times.*--resolution native"):
        choose_scale(3.0, 0.5, "model")
    assert choose_scale(3.0, 0.5, "native") == 1 and not caplog.records
    assert choose_scale(3.0, 0.5, 0.5) == pytest.approx(1 / 6)


@pytest.mark.parametrize("scene_m, model_m, word", [(None, 0.5, "scene"), (1.0, None, "model")])
def test_unknown_is_native_and_said_once(scene_m, model_m, word, caplog):
    assert choose_scale(scene_m, model_m, "model") == 1
    (record,) = caplog.records
    assert word in record.getMessage().split("is unknown")[0]
    assert choose_scale(scene_m, model_m, "native") == 1 and len(caplog.records) == 1


def test_metres(caplog):
    assert choose_scale(0.5, None, 0.25) == 0.5
    assert choose_scale(0.5, 3.0, "0.75") == 1.5
    with pytest.raises(ValueError, match="needs a georeferenced scene"):
        choose_scale(None, 0.5, 0.25)


@pytest.mark.parametrize("resolution", ["fine", "", 0, -1, float("nan"), float("inf"), None])
def test_no_resolution(resolution):
    with pytest.raises(ValueError, match=r"'model', 'native' or metres per pixel, got"):
        choose_scale(0.5, 0.5, resolution)
