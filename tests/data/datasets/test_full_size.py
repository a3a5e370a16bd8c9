"""Scenes of the real size: all tiles at their places, in bounded memory."""

import json
import subprocess
import sys

import numpy as np
import pytest
from fakes.isprs import PALETTE
from fakes.pictures import tif, write, zipped

SIDE = 6000
PREPARE = """
import json, resource
import numpy as np
import tensorflow_datasets as tfds
from keras_deeplab.data.datasets.registry import prepared

builder = prepared("potsdam", data_dir="data", manual_dir="manual")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
tiles = [
    [int(np.ravel(tile[key])[0]) for key in ("row", "column", "image", "label")]
    for tile in tfds.as_numpy(builder.as_dataset(split="train"))
]
print(json.dumps([peak, tiles]))
"""


@pytest.mark.slow
def test_a_potsdam_scene_of_6000_pixels_is_read_by_windows(tmp_path):
    """Every tile starts with another pixel; 2 GB are the limit that preparing must keep."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[..., 0] = rows // 512 * 12 + columns // 512
    label = ((rows + columns) // 97 % 6).astype(np.uint8)
    colors = np.array(PALETTE, np.uint8)[label]
    files = {"2_Ortho_RGB.zip": {}, "5_Labels_all_noBoundary.zip": {}}
    for tile in ("2_10", "2_13"):
        options = {"compress": "lzw"}
        files["2_Ortho_RGB.zip"][f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif"] = tif(image, **options)
        name = f"top_potsdam_{tile}_label_noBoundary.tif"
        files["5_Labels_all_noBoundary.zip"][name] = tif(colors, **options)
    write(tmp_path / "manual", {name: zipped(members) for name, members in files.items()})
    command = [sys.executable, "-c", PREPARE]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    peak, tiles = json.loads(result.stdout.splitlines()[-1])
    starts = [*range(0, 5632, 512), SIDE - 512]
    expected = [[r, c, int(image[r, c, 0]), int(label[r, c])] for r in starts for c in starts]
    assert sorted(tiles) == expected and len(tiles) == 144
    assert peak < 2e9
