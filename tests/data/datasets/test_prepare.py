"""`keras-deeplab prepare`, the counts of `--check`, and tfds by name, on fakes."""

import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.isprs import write_potsdam, write_vaihingen
from PIL import Image

from keras_deeplab import info
from keras_deeplab.commands.group import main
from keras_deeplab.data import classes, load
from keras_deeplab.data.drawing import THUMBNAIL
from keras_deeplab.data.summary import LabelCounts, summarise


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_dry_run_tells_what_would_be_made(tmp_path):
    write_potsdam(tmp_path / "manual")
    folders = ("--manual-dir", tmp_path / "manual", "--data-dir", tmp_path / "data")
    output = run("prepare", "potsdam/overlapping", *folders, "--dry-run")
    assert "12,696" in output and "7,406" in output
    assert [line.split()[1:] for line in output.splitlines() if line.startswith("│ train")] == [
        ["train", "│", "2", "│", "24", "│", "8", "│", "12,696", "│", "0.7", "│"]
    ]
    assert not (tmp_path / "data").exists()


def test_prepare_counts_and_draws(tmp_path):
    write_potsdam(tmp_path / "manual")
    folders = ("--manual-dir", tmp_path / "manual", "--data-dir", tmp_path / "data")
    output = run("prepare", "potsdam", *folders, "--check", "--output", tmp_path)
    labels = [label for _, label in load("potsdam", data_dir=tmp_path / "data").as_numpy_iterator()]
    pixels = np.array([sum((label == index).sum() for label in labels) for index in range(6)])
    weights = 1 / np.log(1.02 + pixels / pixels.sum())
    weights /= (weights * pixels).sum() / pixels.sum()
    for name, count, weight in zip(classes("potsdam").names, pixels, weights, strict=True):
        (line, *_) = [line for line in output.splitlines() if name in line]
        assert f"{count:,}" in line and f"{weight:.3f}" in line
    assert "8 of 3,456 tiles" in output
    with Image.open(tmp_path / "potsdam_published_train.png") as sheet:
        assert sheet.width > 6 * THUMBNAIL and sheet.height > 4 * THUMBNAIL


def test_samples_of_the_check_show_the_most_classes():
    def pair(number):
        label = np.arange(16, dtype=np.uint8).reshape(4, 4) % number
        return np.full((4, 4, 3), number, np.uint8), label

    numbers = [1, 3, 2, 2, 1, 1, 5, 4]
    summary = summarise(map(pair, numbers), 6, total=8, samples=4)
    assert [int(image[0, 0, 0]) for image, _ in summary.samples] == [3, 2, 1, 5]
    assert summary.pixels.sum() == 8 * 16 and summary.pixels[5] == 0
    assert summary.class_weights[5] == 0
    assert np.isclose((summary.class_weights * summary.shares).sum(), 1)


def test_a_rare_class_weighs_at_most_35_times_as_much():
    weights = LabelCounts(1, np.array([10**9, 1]), 0).class_weights
    assert np.isclose(weights[1] / weights[0], 35.5, rtol=1e-3)
    assert np.isclose(weights[0], 1)


@pytest.mark.parametrize("name", ["loveda", "potsdam", "vaihingen", "isaid"])
def test_classes_are_those_of_the_zoo(name):
    entry, table = info(f"r50_{name}"), classes(name)
    assert [c["name"] for c in entry["classes"]] == list(table.names)
    assert [tuple(c["rgb"]) for c in entry["classes"]] == list(table.palette)


@pytest.mark.long
def test_tfds_knows_the_names_after_the_import(tmp_path):
    write_vaihingen(tmp_path / "manual")
    code = (
        "import keras_deeplab.data, tensorflow_datasets as tfds\n"
        "config = tfds.download.DownloadConfig(manual_dir='manual')\n"
        "options = {'download_config': config}\n"
        "ds = tfds.load('vaihingen', split='val', data_dir='data', as_supervised=True,\n"
        "               download_and_prepare_kwargs=options)\n"
        "print(len(list(ds)))\n"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "8"
