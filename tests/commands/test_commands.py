"""The commands as users run them: in their own process."""

import json
import os
import pathlib
import subprocess
import sys

import in_process
import numpy as np
import pytest
from PIL import Image

from keras_deeplab._internal import resources

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples/dubai"
ENVIRONMENT = {**os.environ, "COLUMNS": "120"}
ENVIRONMENT.pop("TF_CPP_MIN_LOG_LEVEL", None)  # the commands themselves keep TensorFlow quiet


def run(*arguments, check=True):
    command = [sys.executable, "-m", "keras_deeplab.commands", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if check:
        assert result.returncode == 0, result.stderr
    return result


def test_help_names_every_command_without_tensorflow():
    text = run("--help").stdout
    for path in resources.scripts_dir().glob("*.py"):
        assert f"  {path.stem} " in text
    code = (
        "import sys; from keras_deeplab.commands.group import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_list_and_info():
    assert "r18_dubai" in run("list").stdout
    assert json.loads(run("info", "r18_dubai").stdout)["variant"] == "r18_d8"
    failed = run("info", "r18_dubay", check=False)
    assert failed.returncode == 1 and "Did you mean 'r18_dubai'" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.long
def test_predict_draws_an_overlay(tmp_path):
    image = tmp_path / "image.png"
    with Image.open(EXAMPLES / "images/tile1_part008.jpg") as picture:
        picture.crop((0, 0, 320, 256)).save(image)
    overlay, mask = tmp_path / "overlay.png", tmp_path / "mask.png"
    result = run("predict", image, "--model", "r18_dubai", "--output", overlay, "--mask", mask)
    assert result.stderr == ""  # nothing of TensorFlow's start-up
    with Image.open(image) as picture, Image.open(mask) as labels, Image.open(overlay) as drawn:
        assert labels.mode == "P" and labels.size == picture.size
        assert labels.getpalette()[:3] == [60, 16, 152]
        counts = np.bincount(np.asarray(labels).ravel(), minlength=5)
        assert drawn.size[0] > 2 * picture.size[0] and drawn.size[1] >= picture.size[1]
    assert counts.sum() == picture.size[0] * picture.size[1]
    for name, count in zip(
        ("building", "land", "road", "vegetation", "water"), counts, strict=True
    ):
        row = next(line for line in result.stdout.splitlines() if name in line)
        assert f"{count:,}" in row


@pytest.mark.long
def test_errors_are_for_people(labelled_folder, tmp_path):
    (labelled_folder / "masks/scene_1.png").unlink()
    failed = run(
        *("train", "--model", "r18_d16", "--classes", labelled_folder / "classes.json"),
        *("--images", labelled_folder / "images", "--masks", labelled_folder / "masks"),
        *("--output", tmp_path / "run"),
        check=False,
    )
    assert failed.returncode == 1
    assert "scene_1.png has no mask in" in failed.stderr
    assert "Traceback" not in failed.stderr
    arguments = ("predict", EXAMPLES / "classes.json", "--model", "r18_dubai")
    failed = in_process.run(*arguments, check=False)
    assert failed.exit_code == 1 and "cannot be read as a raster" in failed.output


@pytest.mark.parametrize("script", ["train", "predict", "evaluate", "list", "info", "publish"])
def test_a_script_runs_by_its_path(script):
    path = resources.scripts_dir() / f"{script}.py"
    result = subprocess.run(
        [sys.executable, path, "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage:" in result.stdout
