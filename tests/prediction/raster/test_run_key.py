"""What belongs to the key of a run, and what a changed key is said to differ in."""

import json
import os
import subprocess

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasters import write_raster
from toy import start_python, toy_predictor

from keras_deeplab.data.files.images import ImageFormat
from keras_deeplab.data.files.rasters import open_raster
from keras_deeplab.prediction.raster.run_key import changed_fields, raster_key, run_key
from keras_deeplab.prediction.raster.scene import open_scene

rng = np.random.default_rng(0)
OPTIONS = {"window": 512, "value_range": (0, 255), "nodata": float("nan"), "aoi": None}


@pytest.fixture
def scene(tmp_path):
    write_raster(tmp_path / "scene.tif", rng.integers(1, 255, (300, 400, 3)).astype("uint8"))
    return tmp_path / "scene.tif"


def key_of(path, *, weights="aa", options=OPTIONS, threads=2, **metadata):
    predictor = toy_predictor(**metadata)
    predictor.weights_sha256 = None if weights is None else lambda: weights
    with open_scene([path], ImageFormat()) as opened:
        return run_key(predictor, opened, options, threads)


def changes(old, new):
    return changed_fields(json.loads(json.dumps(old)), new)


def test_the_same_run_has_the_same_key(scene):
    assert changes(key_of(scene), key_of(scene)) == []


@pytest.mark.parametrize(
    "changed, expected",
    [
        ({"weights": "bb"}, ["model.weights_sha256 (aa -> bb)"]),
        ({"threads": 1}, ["threads (2 -> 1)"]),
        ({"options": {**OPTIONS, "window": 256}}, ["options.window (512 -> 256)"]),
        (
            {"options": {**OPTIONS, "value_range": (0, 9)}},
            ["options.value_range ([0, 255] -> [0, 9])"],
        ),
        ({"options": {**OPTIONS, "aoi": "town.gpkg"}}, ["options.aoi (null -> town.gpkg)"]),
        (
            {"names": ("red", "green", "gold")},
            ["model.metadata.classes.2.name (blue -> gold)"],
        ),
        ({"resolution_m": 0.5}, ["model.metadata.resolution_m (null -> 0.5)"]),
    ],
)
def test_a_change_is_named(scene, changed, expected):
    assert changes(key_of(scene), key_of(scene, **changed)) == expected


def test_unknown_weights_never_are_the_same(scene):
    assert changes(key_of(scene, weights=None), key_of(scene, weights=None))


def test_versions_runtime_and_precision(scene):
    key = key_of(scene)
    assert (key["model"]["runtime"], key["model"]["precision"]) == ("keras", "float32")
    expected = {"keras_deeplab", "keras", "tensorflow", "numpy", "rasterio", "gdal"}
    assert {*key["model"]["versions"]} == expected


def test_a_changed_file(scene):
    before, status, content = key_of(scene), scene.stat(), bytearray(scene.read_bytes())
    os.utime(scene, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    (change,) = changes(before, key_of(scene))
    assert change.startswith("input.0.files.0.modified_ns")
    content[len(content) // 2] ^= 1
    scene.write_bytes(content)
    os.utime(scene, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert changes(before, key_of(scene)) == ["input.0.files.0.samples_sha256"]
    content[-1] ^= 1
    scene.write_bytes(bytes(content) + b"more")
    found = changes(before, key_of(scene))
    assert any(change.startswith("input.0.files.0.size") for change in found)


def test_a_file_behind_a_vrt(scene, tmp_path):
    rasterio.shutil.copy(scene, tmp_path / "scene.vrt", driver="VRT")
    before = key_of(tmp_path / "scene.vrt")
    assert len(before["input"][0]["files"]) == 2
    os.utime(scene, (0, 0))
    (change,) = changes(before, key_of(tmp_path / "scene.vrt"))
    assert "modified_ns" in change


# What GDAL writes next to a raster when QGIS or `gdalinfo -stats` looks at it.
STATISTICS = """<PAMDataset>
  <PAMRasterBand band="1">
    <Histograms><HistItem><HistMin>-0.5</HistMin><HistMax>255.5</HistMax><BucketCount>2</BucketCount>
      <HistCounts>61000|59000</HistCounts></HistItem></Histograms>
    <Metadata>
      <MDI key="STATISTICS_MINIMUM">1</MDI>
      <MDI key="STATISTICS_MEAN">127.25914166667</MDI>
    </Metadata>
  </PAMRasterBand>
</PAMDataset>
"""


def test_statistics_of_a_viewer_do_not_count(scene):
    """But what else that file may say."""
    before, sidecar = key_of(scene), scene.with_name("scene.tif.aux.xml")
    sidecar.write_text(STATISTICS)
    with rasterio.open(scene) as raster:
        assert raster.tags(1)["STATISTICS_MINIMUM"] == "1" and str(sidecar) in raster.files
    assert changes(before, key_of(scene)) == []
    for old, new, change in (
        ("<PAMDataset>", "<PAMDataset><SRS>EPSG:32641</SRS>", "crs (EPSG:32640 -> EPSG:32641)"),
        ("<Metadata>", "<NoDataValue>7</NoDataValue><Metadata>", "nodata ("),
    ):
        sidecar.write_text(STATISTICS.replace(old, new))
        assert f"input.0.gdal.{change}" in " ".join(changes(before, key_of(scene)))


SERVER = """
import pathlib, sys
from servers import RangeHandler, Server, running

class Handler(RangeHandler):  # has one file, without others next to it
    def do_HEAD(self):
        super().do_HEAD() if self.path.endswith("/cog.tif") else self.send_error(404)
    def do_GET(self):
        super().do_GET() if self.path.endswith("/cog.tif") else self.send_error(404)

with running(Server(Handler)) as server:
    server.content = pathlib.Path(sys.argv[1]).read_bytes()
    print(server.address, flush=True)
    sys.stdin.readline()
    server.content = pathlib.Path(sys.argv[2]).read_bytes()
    print("changed", flush=True)
    sys.stdin.read()
"""


def test_an_address(scene, tmp_path, monkeypatch):
    """Pixels of the centre differ: blocks of both files have the same size."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    rasterio.shutil.copy(scene, tmp_path / "cog.tif", driver="COG", compress="NONE")
    with rasterio.open(scene, "r+") as raster:
        raster.write(np.zeros((3, 100, 400), "uint8"), window=((100, 200), (0, 400)))
    rasterio.shutil.copy(scene, tmp_path / "other.tif", driver="COG", compress="NONE")
    server = start_python(
        SERVER, tmp_path / "cog.tif", tmp_path / "other.tif", stdin=subprocess.PIPE
    )
    address = server.stdout.readline().strip()

    def key(folder):
        with open_raster(f"/vsicurl/{address}/{folder}/cog.tif") as raster:
            return {**raster_key(raster), "name": "cog.tif"}

    before = key("a")
    assert before["files"] == [] and changes(before, key("b")) == []
    server.stdin.write("\n")
    server.stdin.flush()
    server.stdout.readline()
    assert changes(before, key("c")) == ["pixels.pixels_sha256"]
    server.communicate(timeout=60)
