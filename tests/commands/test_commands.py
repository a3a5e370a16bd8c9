"""The commands as users run them: in their own process."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from keras_deeplab import resources

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples/dubai"
ENVIRONMENT = {**os.environ, "COLUMNS": "120"}
ENVIRONMENT.pop("TF_CPP_MIN_LOG_LEVEL", None)  # the commands themselves keep TensorFlow quiet


def run(*arguments, check=True):
    command = [sys.executable, "-m", "keras_deeplab.cli", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if check:
        assert result.returncode == 0, result.stderr
    return result


def training(folder, output, steps):
    return (
        *("train", "--model", "r18_d16", "--classes", folder / "classes.json"),
        *("--images", folder / "images", "--masks", folder / "masks"),
        *("--val-images", folder / "images", "--val-masks", folder / "masks"),
        *("--steps", steps, "--crop", 32, "--batch", 2, "--optimizer", "adamw", "--lr", 0.001),
        *("--validate-every", 4, "--save-every", 1, "--no-aux-head", "--output", output),
    )


def test_help_names_every_command_without_tensorflow():
    text = run("--help").stdout
    for path in resources.scripts_dir().glob("*.py"):
        assert f"  {path.stem} " in text
    code = (
        "import sys; from keras_deeplab.cli import main\n"
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


def test_predict_draws_an_overlay(tmp_path):
    image = EXAMPLES / "images/tile1_part008.jpg"
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


def test_evaluate_prints_and_writes_the_same(tmp_path):
    result = run(
        *("evaluate", "r18_dubai", "--images", EXAMPLES / "images"),
        *("--masks", EXAMPLES / "masks", "--json", tmp_path / "metrics.json"),
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert f"mIoU {metrics['mIoU']:.4f}" in result.stdout
    assert np.array(metrics["confusion"]).shape == (5, 5)


def test_a_killed_training_resumes_and_its_folder_is_a_model(labelled_folder, tmp_path):
    """Killed with SIGKILL once weights are there; ends as the run that was never killed."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(*training(labelled_folder, whole, 8))
    command = [sys.executable, "-m", "keras_deeplab.cli"]
    process = subprocess.Popen(
        [*command, *map(str, training(labelled_folder, cut, 8))],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    while not (cut / "last.weights.h5").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    changed = run(*training(labelled_folder, cut, 9), "--resume", check=False)
    assert "other options" in changed.stderr and "'steps': 8" in changed.stderr
    again = run(*training(labelled_folder, cut, 8), check=False)
    assert "already holds a run" in again.stderr
    resumed = run(*training(labelled_folder, cut, 8), "--resume")
    assert "8/8" in resumed.stderr and "loss=" in resumed.stderr
    images = labelled_folder / "images"
    options = ("--images", images, "--masks", labelled_folder / "masks")
    scores = [run("evaluate", folder, *options).stdout for folder in (whole, cut)]
    assert scores[0] == scores[1]
    import h5py

    with h5py.File(whole / "last.weights.h5") as one, h5py.File(cut / "last.weights.h5") as two:
        one.visititems(
            lambda name, item: (
                np.testing.assert_array_equal(item[...], two[name][...])
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    run("predict", images / "scene_0.png", "--model", cut, "--output", tmp_path / "overlay.png")


def test_errors_are_for_people(labelled_folder, tmp_path):
    (labelled_folder / "masks/scene_1.png").unlink()
    failed = run(*training(labelled_folder, tmp_path / "run", 4), check=False)
    assert failed.returncode == 1
    assert "scene_1.png has no mask in" in failed.stderr
    assert "Traceback" not in failed.stderr
    failed = run("predict", EXAMPLES / "classes.json", "--model", "r18_dubai", check=False)
    assert "cannot be read as a raster" in failed.stderr


@pytest.mark.parametrize("script", ["train", "predict", "evaluate", "list", "info", "publish"])
def test_a_script_runs_by_its_path(script):
    path = resources.scripts_dir() / f"{script}.py"
    result = subprocess.run(
        [sys.executable, path, "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage:" in result.stdout
