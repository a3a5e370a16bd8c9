"""An interrupted run is continued: the same bytes, at most two bands of windows repeated."""

import json
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
import rasterio
from rasters import write_raster
from resumable import (
    HEIGHT,
    WIDTH,
    finish_run,
    hidden,
    outputs,
    records,
    start_run,
    stopped_run,
    write_model,
    write_scene,
)
from toy import toy_predictor

import keras_deeplab as kd
from keras_deeplab.prediction.protocols import Protocol
from keras_deeplab.prediction.raster import bands as bands_module
from keras_deeplab.prediction.raster import scores as scores_module
from keras_deeplab.prediction.raster.bands import plan_bands, runs
from keras_deeplab.prediction.raster.boxes import Part
from keras_deeplab.prediction.raster.scores import plan_windows


class Killed(Exception):
    pass


class Windows:
    """A model that counts its windows, and fails after some of them."""

    def __init__(self, limit=None):
        self.count, self.limit = 0, limit

    def __call__(self, images):
        self.count += 1
        if self.count == self.limit:
            raise Killed
        return images / 50 + images[:, ::-1] / 100  # depends on the window


def predict(folder, windows=None, *, weights="aa", names=("red", "green", "blue"), **options):
    predictor = toy_predictor(windows or Windows(), names=names)
    predictor.weights_sha256 = lambda: weights
    return kd.predict_raster(
        predictor,
        folder / "scene.tif",
        folder / "map.tif",
        **{
            "confidence": folder / "confidence.tif",
            "resolution": "native",
            "progress": False,
            **options,
        },
    )


@pytest.fixture
def scene(tmp_path):
    write_scene(tmp_path)
    return tmp_path


def without_time(result):
    return {**result, "seconds": None}


@pytest.mark.parametrize(
    "options, limit",
    [
        ({}, 6),
        ({"resolution": 0.65}, 3),  # from 0.5 m
        ({"resolution": 0.3}, 7),
        ({"window": 400, "overlap": 200, "probabilities_dtype": "float16"}, 8),
    ],
    ids=str,
)
def test_an_interrupted_run_gives_the_same_files(scene, options, limit, monkeypatch):
    monkeypatch.setattr(bands_module, "ROWS", 600)
    if not options:
        monkeypatch.setattr(scores_module, "MEMORY", 1e5)  # parts of 512 columns
    write_scene(scene, 1_300, 530)
    options = {"probabilities": scene / "probabilities.tif", **options}
    whole = Windows()
    result = predict(scene, whole, **options)
    expected = comparable(scene)
    (scene / "map.tif").write_bytes(b"old")
    with pytest.raises(Killed):
        predict(scene, Windows(limit), **options)
    assert (scene / "map.tif").read_bytes() == b"old"
    assert len(records(scene)) == 1  # so the next one begins in the middle of the scene
    windows = Windows()
    assert without_time(predict(scene, windows, **options)) == without_time(result)
    assert comparable(scene) == expected and not hidden(scene)
    assert windows.count <= whole.count


def comparable(folder):
    """All bytes; of half floats all pixels, as GDAL leaves random bytes beyond the scene's edge."""
    with rasterio.open(folder / "probabilities.tif") as raster:
        if raster.dtypes[0] == "uint8":
            return outputs(folder)
        return {**outputs(folder), "probabilities.tif": raster.read().tobytes()}


@pytest.mark.parametrize("overlap", [0, 128])
def test_at_most_two_bands_of_windows_are_repeated(tmp_path, overlap):
    scene = tmp_path
    write_scene(scene, 3_600, 34)
    whole = Windows()
    predict(scene, whole, overlap=overlap)
    step = 512 - overlap
    band = max(bands_module.FEWEST, -(-bands_module.ROWS // step))  # of one window a row
    for limit in range(2 - overlap // 128, whole.count + 1, 2):
        with pytest.raises(Killed):
            predict(scene, Windows(limit), overlap=overlap, confidence=None)
        windows = Windows()
        predict(scene, windows, overlap=overlap, confidence=None)
        assert limit - 1 + windows.count <= whole.count + 2 * band


def test_bands_cover_the_scene():
    sizes = (1, 1, 1.0), (5_000, 3_000, 1.0), (5_000, 3_000, 3.7), (900, 40, 0.1)
    for height, width, scale in sizes:
        plan = plan_windows(height, width, scale=scale, window=512, overlap=128, classes=900)
        bands, seen = plan_bands(plan, Part(0, height, 0, width)), np.zeros((height, width), int)
        for band in bands:
            seen[band.top : band.bottom, band.left : band.right] += 1
        assert (seen == 1).all() and [band.index for band in bands] == [*range(len(bands))]
        assert len(list(runs(bands))) == len(list(plan.parts(0, width)))
        assert next(runs(bands[:1] + bands[2:])) == bands[:1]


def interrupt(folder, caplog, **options):
    with pytest.raises(Killed):
        predict(folder, Windows(5), **options)
    assert "1 of 5 bands are finished and kept in" in caplog.text
    caplog.clear()


def test_it_says_that_it_continues(scene, caplog):
    interrupt(scene, caplog)
    predict(scene)
    assert "map.tif: 1 of 5 bands are finished." in caplog.text and "starts over" not in caplog.text


@pytest.mark.parametrize(
    "options, field",
    [
        ({"weights": "bb"}, "model.weights_sha256 (aa -> bb)"),
        ({"names": ("red", "green", "gold")}, "model.metadata.classes.2.name (blue -> gold)"),
        ({"overlap": 64}, "options.overlap (128 -> 64)"),
        ({"nodata": 7.0}, "options.nodata (null -> 7.0)"),
        ({"bands": (3, 2, 1)}, "options.bands (null -> [3, 2, 1])"),
        ({"protocol": Protocol(flip=True)}, "options.protocol.flip (false -> true)"),
        ({"on_bad_block": "nodata"}, "options.on_bad_block (stop -> nodata)"),
        ({"probabilities_dtype": "float16"}, "options.probabilities_dtype (uint8 -> float16)"),
        ({"confidence": None}, "options.targets.confidence"),
    ],
)
def test_a_changed_run_starts_over_and_says_why(scene, caplog, options, field):
    interrupt(scene, caplog)
    predict(scene, **options)
    assert "map.tif starts over: it is not the interrupted run, changed: " in caplog.text
    assert field in caplog.text
    assert not hidden(scene)  # also what was begun of a map that is not written now
    assert "Continuing" not in caplog.text


def test_a_changed_scene_threads_or_version(scene, caplog, monkeypatch):
    interrupt(scene, caplog)
    monkeypatch.setenv("KERAS_DEEPLAB_THREADS", "77")
    os.utime(scene / "scene.tif", (0, 0))
    journal = scene / ".map.tif.parts" / "run.json"
    run = json.loads(journal.read_text())
    run["key"]["model"]["versions"]["gdal"] = "2.0"
    journal.write_text(json.dumps(run))
    predict(scene)
    for field in ("model.versions.gdal (2.0 -> ", "input.0.files.0.modified_ns", "threads ("):
        assert field in caplog.text


def test_no_resume(scene, caplog):
    interrupt(scene, caplog)
    windows, whole = Windows(), Windows()
    predict(scene, windows, resume=False)
    predict(scene, whole)
    assert windows.count == whole.count and "Continuing" not in caplog.text


@pytest.mark.parametrize("damage", ["short", "gone", "no record", "record", "journal", "other run"])
def test_damage_is_found(scene, caplog, damage):
    predict(scene)
    expected = outputs(scene)
    interrupt(scene, caplog)
    parts, other = scene / ".map.tif.parts", scene / ".confidence.tif.parts"
    if damage == "short":
        (other / "000000.tif").write_bytes((other / "000000.tif").read_bytes()[:-1])
    elif damage == "gone":
        (other / "000000.tif").unlink()
    elif damage == "no record":
        (parts / "000000.json").unlink()
    elif damage == "record":
        (parts / "000000.json").write_text("{")
    elif damage == "journal":
        (parts / "run.json").write_text("{")
    else:
        run = json.loads((other / "run.json").read_text())
        (other / "run.json").write_text(json.dumps({**run, "run": "of another map"}))
    predict(scene)
    assert "1 of 5" not in caplog.text
    assert outputs(scene) == expected and not hidden(scene)


def test_a_map_may_have_the_name_of_a_band(scene):
    predict(scene, confidence=None)
    source, target = scene / "scene.tif", scene / "000001.tif"
    kd.predict_raster(toy_predictor(Windows()), source, target, resolution="native", progress=False)
    with rasterio.open(scene / "map.tif") as one, rasterio.open(target) as other:
        np.testing.assert_array_equal(one.read(), other.read())


def test_bad_pixels_of_both_runs_count(scene, caplog):
    grey = np.full((HEIGHT, WIDTH, 3), 9, "uint8")
    write_raster(scene / "scene.tif", grey, tiled=True, compress="deflate")
    content = bytearray((scene / "scene.tif").read_bytes())
    with rasterio.open(scene / "scene.tif") as raster:
        for row in (1, 15):
            start, length = (
                int(raster.get_tag_item(f"BLOCK_{what}_0_{row}", "TIFF", bidx=1))
                for what in ("OFFSET", "SIZE")
            )
            content[start : start + length] = b"\0" * length
    (scene / "scene.tif").write_bytes(content)
    result = predict(scene, on_bad_block="nodata")
    assert result["bad_pixels"] == 2 * 256 * WIDTH
    interrupt(scene, caplog, on_bad_block="nodata")
    assert without_time(predict(scene, on_bad_block="nodata")) == without_time(result)


def kill_at_random(folder, seconds, rng, **options):
    """Starts a run and kills it; whether it had ended before."""
    process = start_run(folder, **options)
    time.sleep(rng.uniform(0, seconds))
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode in (0, -signal.SIGKILL), errors
    return process.returncode == 0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_model(folder, kernel=41)
    write_scene(folder)
    return folder


@pytest.mark.long
def test_a_killed_process(prepared):
    result, _ = finish_run(prepared)
    expected = outputs(prepared)
    for count in (1, 3):
        process = stopped_run(prepared, count)
        (prepared / "map.tif").write_bytes(b"old")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=300)
        before = records(prepared)
        assert (prepared / "map.tif").read_bytes() == b"old"
    again, said = finish_run(prepared)
    assert f"{len(before)} of 5 bands are finished." in said
    assert again == result and outputs(prepared) == expected and not hidden(prepared)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_fifty_random_kills(tmp_path, workers):
    write_model(tmp_path, kernel=41)
    write_scene(tmp_path, 8_000, 100)
    start = time.monotonic()
    result, _ = finish_run(tmp_path, workers=workers)
    seconds, expected, rng = time.monotonic() - start, outputs(tmp_path), random.Random(0)
    ended = 0
    for _ in range(50):
        before = records(tmp_path)
        if kill_at_random(tmp_path, seconds, rng, workers=workers):
            ended += 1
            assert outputs(tmp_path) == expected
            continue
        after = records(tmp_path)
        assert after.items() >= before.items() or not after  # none is computed twice
    again, _ = finish_run(tmp_path, workers=workers)
    assert again == result and outputs(tmp_path) == expected and not hidden(tmp_path)
    print(f"{ended} of 50 runs ended before they were killed; {seconds:.1f} s undisturbed")


def test_sigterm_ends_like_ctrl_c(prepared):
    for number in (signal.SIGTERM, signal.SIGINT):
        shutil.rmtree(prepared / ".map.tif.parts", ignore_errors=True)
        process = stopped_run(prepared)
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate(timeout=300)
        assert process.returncode != 0 and "bands are finished and kept in" in said
        left = {path.suffix for path in (prepared / ".map.tif.parts").iterdir()}
        assert left == {".json", ".tif"} and records(prepared)
