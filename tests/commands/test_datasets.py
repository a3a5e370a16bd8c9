"""From the original layout to a trained and evaluated model, for each published data set."""

import json

import numpy as np
import pytest
from fakes.isaid import write_isaid
from fakes.isprs import write_potsdam, write_vaihingen
from fakes.loveda import write_loveda
from in_process import run

from keras_deeplab import info
from keras_deeplab.commands.recipe_options import published_training
from keras_deeplab.data import load

FAKES = {
    "loveda/to_rural": write_loveda,
    "potsdam": lambda folder: write_potsdam(folder, names=("2_10", "2_13"), size=300),
    "vaihingen": lambda folder: write_vaihingen(folder, names=(1, 6), height=200, width=300),
    "isaid": lambda folder: write_isaid(
        folder, sizes={"train": {"P0001": (500, 700)}, "val": {"P0002": (300, 400)}}
    ),
}


@pytest.mark.parametrize("name", FAKES)
def test_prepare_train_evaluate(tmp_path, tiny_networks, name):
    FAKES[name](tmp_path / "manual")
    data = ("--data-dir", tmp_path / "data")
    run("prepare", name, "--manual-dir", tmp_path / "manual", *data)
    output = tmp_path / "run"
    settings = ("--model", "r18_d16", "--steps", 5, "--crop", 64, "--batch", 2, "--lr", "1e-3")
    run("train", "--dataset", name, *data, *settings, "--output", output)
    record = json.loads((output / "run.json").read_text())
    assert record["recipe"]["rotate"] is False  # as published
    assert record["recipe"]["base_size"] == list(published_training(name)["base_size"])
    for subset in ("train", "val"):
        files = (tmp_path / "data").rglob(f"*-{subset}.tfrecord*")
        assert record["data"][subset]["bytes"] == sum(path.stat().st_size for path in files)
    run("evaluate", output, "--dataset", name, *data, "--json", tmp_path / "metrics.json")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    labelled = sum(
        np.count_nonzero(label != 255)
        for _, label in load(name, "val", data_dir=tmp_path / "data").as_numpy_iterator()
    )
    assert np.sum(metrics["confusion"]) == labelled > 0
    assert 0 <= metrics["mIoU"] <= 1
    rows = (output / "history.csv").read_text().splitlines()
    assert len(rows) == 2 and rows[1].startswith("5,")


def test_the_published_training_is_the_default():
    assert published_training("isaid") == {"crop": 896, "base_size": (896, 896), "rotate": False}
    assert published_training("loveda/urban")["base_size"] == (2048, 512)
    assert published_training(None) == {}
    for name in ("loveda", "potsdam", "vaihingen", "isaid"):
        assert published_training(name)["crop"] == info(f"r50_{name}")["crop"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--dataset", "potsdam"), "is not prepared in"),
        (
            ("--dataset", "potsdam", "--bands", "1,2,3"),
            "cannot be combined with options that name",
        ),
        (("--dataset", "potsdm"), "Did you mean potsdam"),
        ((), "Give --images and --masks or --labels, or --pairs, or --dataset."),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, arguments, message):
    folders = ("--data-dir", tmp_path, "--output", tmp_path / "run")
    result = run("train", *arguments, "--model", "r18_d16", *folders, check=False)
    assert result.exit_code != 0 and message in result.output
