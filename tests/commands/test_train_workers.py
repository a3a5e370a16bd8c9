"""`train --workers` on a scene and polygons: real processes, as one alone."""

import csv
import json
import os
import pathlib
import sys

import numpy as np
import pytest
from fakes.roofs import write_scene
from in_process import run
from tiny import tiny_networks

from keras_deeplab.zoo.loader import load

WORKER = """#!{python}
import sys
from keras_deeplab.commands.group import main
from tiny import tiny_networks

sys.argv = sys.argv[2:]  # without -m keras_deeplab.commands
with tiny_networks(dropout=0.0):
    main()
"""
HELPERS = pathlib.Path(__file__).parents[1]


@pytest.fixture
def tiny_workers(tmp_path, monkeypatch):
    """The processes that a command starts have the tiny network, too."""
    worker = tmp_path / "python"
    worker.write_text(WORKER.format(python=sys.executable))
    worker.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(worker))
    paths = [str(HELPERS), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.long
def test_two_workers_train_on_polygons_as_one_process(tmp_path, tiny_workers, capfd):
    scene = write_scene(tmp_path)
    training = (
        *("train", "--model", "r18_d16", "--images", scene / "a.tif"),
        *("--labels", scene / "roofs.geojson", "--steps", 3, "--crop", 32, "--batch", 4),
        *("--val-fraction", 0.15, "--val-blocks", 2, "--no-aux-head"),
    )
    shared = ("--strategy", "multiworker", "--workers", 2)
    run(*training, "--output", tmp_path / "two", *shared)
    said = capfd.readouterr()
    assert f"Done: {tmp_path / 'two'}" in said.out and said.err.count("train: 1 scene") == 1
    assert f"Validation ground: {tmp_path / 'two' / 'validation.png'}" in said.err
    with tiny_networks(dropout=0.0):
        run(*training, "--output", tmp_path / "one")
        alone, together = (load(tmp_path / name).get_weights() for name in ("one", "two"))
    for ours, theirs in zip(alone, together, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)
    (alone,), (together,) = (history(tmp_path / name) for name in ("one", "two"))
    assert together == pytest.approx(alone, abs=1e-4)
    records = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "two"))
    alone, together = (record["data"] for record in records)
    assert together == alone
    ground = (tmp_path / "one" / "validation.geojson").read_text()
    assert (tmp_path / "two" / "validation.geojson").read_text() == ground

    run(*training, "--output", tmp_path / "two", *shared, "--resume")
    assert "Done" in capfd.readouterr().out


def history(folder):
    """The numbers of each line of the history of a run."""
    with open(folder / "history.csv") as lines:
        return [
            {name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)
        ]
