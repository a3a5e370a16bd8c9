"""Maps appear whole or not at all: killed, interrupted and concurrent processes, full disks."""

import signal
import time

import numpy as np
import pytest
import rasterio
from rasters import write_raster
from toy import start_python, toy_labels, toy_predictor

import keras_deeplab as kd
from keras_deeplab._internal.locks import locked_target
from keras_deeplab.prediction.raster.targets import nodata_pixels_of

# The command with the toy. With a first argument it makes this file in the second window, and
# stands still while it exists, ten minutes at most.
COMMAND = """
import pathlib, sys, time
from toy import toy_command

windows = []
def model(images):
    windows.append(1)
    if len(windows) == 2 and sys.argv[1]:
        started = pathlib.Path(sys.argv[1])
        started.touch()
        end = time.monotonic() + 600
        while started.exists() and time.monotonic() < end:
            time.sleep(0.02)
    return images
toy_command(sys.argv[2:], model)
"""


@pytest.fixture
def scene(tmp_path):
    """A folder with a scene, and a map of another model."""
    image = np.random.default_rng(0).integers(1, 255, (600, 700, 3)).astype("uint8")
    write_raster(tmp_path / "scene.tif", image)
    (tmp_path / "map.tif").write_bytes(b"old")
    return tmp_path, image


def command(folder, started=""):
    return start_python(
        *(COMMAND, started, "predict", folder / "scene.tif", "--model", "toy"),
        *("--output", folder / "map.tif", "--confidence", folder / "new.tif"),
    )


def wait_for(path, process):
    end = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.02)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_run_leaves_the_old_map_and_the_next_one_cleans_up(scene):
    folder, image = scene
    process = command(folder, folder / "started")
    wait_for(folder / "started", process)
    with pytest.raises(ValueError, match=r"Another process is writing .*map\.tif\."):
        kd.predict_raster(toy_predictor(), folder / "scene.tif", folder / "map.tif")
    with pytest.raises(ValueError, match=r"Another process is writing .*new\.tif\."):
        kd.predict_raster(
            toy_predictor(),
            folder / "scene.tif",
            folder / "other.tif",
            confidence=folder / "new.tif",
        )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (folder / "map.tif").read_bytes() == b"old" and not (folder / "new.tif").exists()
    assert not (folder / "other.tif").exists()
    assert [name for name in names(folder) if name.endswith(".parts")] == [
        *(".map.tif.parts", ".new.tif.parts")
    ]
    ended = command(folder)
    _, said = ended.communicate(timeout=300)
    assert ended.returncode == 0, said
    (folder / "started").unlink()
    assert names(folder) == ["map.qml", "map.tif", "map.tif.aux.xml", "new.tif", "scene.tif"]
    with rasterio.open(folder / "map.tif") as written:
        np.testing.assert_array_equal(written.read(1), toy_labels(image))


def test_ctrl_c(scene):
    folder, _ = scene
    process = command(folder, folder / "started")
    wait_for(folder / "started", process)
    process.send_signal(signal.SIGINT)
    (folder / "started").unlink()  # the window is finished after the signal
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130 and "Traceback" not in said, said
    assert (folder / "map.tif").read_bytes() == b"old"
    assert names(folder) == ["map.tif", "scene.tif"]


# Else Python would cut off what it caches of modules, and every later process fails to import them.
NO_CACHE = "import resource, sys; sys.dont_write_bytecode = True\n"
FULL_DISK = """
import pathlib, signal
import keras_deeplab as kd
from toy import toy_predictor

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = pathlib.Path(sys.argv[1])
for limit in sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        target = folder / f"{limit}.tif"
        kd.predict_raster(toy_predictor(), folder / "scene.tif", target, progress=False)
        print(limit, "written", flush=True)
    except OSError as error:
        print(limit, error, flush=True)
"""


def test_a_full_disk_at_any_moment_is_an_error(scene):
    """GDAL does not report it when it closes a file: then the map is found to be incomplete."""
    folder, image = scene
    kd.predict_raster(toy_predictor(), folder / "scene.tif", folder / "map.tif", progress=False)
    size = (folder / "map.tif").stat().st_size
    limits = [0, 300, *range(10_000, size, size // 12), size - 1_000, size - 1, size + 5_000]
    for limit in limits:
        (folder / f"{limit}.tif").write_bytes(b"old")
    process = start_python(NO_CACHE + FULL_DISK, folder, *limits)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    lines = said.splitlines()
    assert len(lines) == len(limits)
    for limit, line in zip(limits, lines, strict=True):
        if limit > size:
            assert line == f"{limit} written"
            continue
        assert f"{limit}.tif cannot be written" in line and "scene.tif" not in line
        assert (folder / f"{limit}.tif").read_bytes() == b"old"
    with rasterio.open(folder / f"{limits[-1]}.tif") as written:
        np.testing.assert_array_equal(written.read(1), toy_labels(image))
    for path in folder.glob(".*"):  # the pixels were written, but not the map: kept to continue
        assert {each.name for each in path.iterdir()} == {"run.json", "000000.json", "000000.tif"}


def test_a_full_disk_in_the_command(scene):
    folder, _ = scene
    limit = NO_CACHE + "resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, 2**15))\n"
    ended = start_python(
        *(limit + COMMAND, "", "predict", folder / "scene.tif", "--model", "toy"),
        *("--output", folder / "map.tif"),
    )
    _, said = ended.communicate(timeout=300)
    assert ended.returncode == 1 and "Traceback" not in said
    assert "map.tif cannot be written" in said.splitlines()[-1]
    assert (folder / "map.tif").read_bytes() == b"old"
    assert names(folder) == ["map.tif", "scene.tif"]


def test_a_failing_model_leaves_nothing(scene):
    folder, _ = scene

    def fail(images):
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        kd.predict_raster(toy_predictor(fail), folder / "scene.tif", folder / "map.tif")
    assert (folder / "map.tif").read_bytes() == b"old"
    assert names(folder) == ["map.tif", "scene.tif"]


def test_what_belonged_to_the_old_map_goes(scene):
    folder, _ = scene
    for name in ("map.tif.ovr", "map.tif.msk", "new.tif.aux.xml", "other.tif.ovr"):
        (folder / name).write_bytes(b"old")
    kd.predict_raster(
        toy_predictor(), folder / "scene.tif", folder / "map.tif", confidence=folder / "new.tif"
    )
    assert names(folder) == [
        *("map.qml", "map.tif", "map.tif.aux.xml", "new.tif", "other.tif.ovr", "scene.tif")
    ]


def test_a_target_belongs_to_one(tmp_path):
    target = tmp_path / "deep" / "map.tif"
    with locked_target(target):
        with pytest.raises(ValueError, match="Another process"), locked_target(target):
            pass
        with locked_target(target.with_name("map.tif-2.tif")):
            pass
    assert not names(tmp_path / "deep")


def test_nodata_is_counted_and_damage_found(tmp_path):
    labels = np.random.default_rng(0).choice([0, 1, 255], (1100, 900)).astype("uint8")
    tiles = {"tiled": True, "compress": "deflate"}
    write_raster(tmp_path / "map.tif", labels, nodata=255, **tiles)
    with rasterio.open(tmp_path / "map.tif", "r+") as raster:
        raster.build_overviews([2, 4])
    assert nodata_pixels_of(tmp_path / "map.tif") == (labels == 255).sum()
    content = (tmp_path / "map.tif").read_bytes()
    (tmp_path / "map.tif").write_bytes(content[:-2_000])  # the overviews come last
    with pytest.raises(rasterio.errors.RasterioError):
        nodata_pixels_of(tmp_path / "map.tif")
