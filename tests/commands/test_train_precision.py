"""`train --precision auto`, on processors of both kinds."""

import pytest
from in_process import run
from training.loop.test_train import arrays, saved_step

from keras_deeplab._internal import processor
from keras_deeplab.training.loop.run_folder import RunFolder
from keras_deeplab.zoo.run_folders import read_run

AUTO = ("--precision", "auto")


@pytest.fixture
def flags(monkeypatch):
    """Function that sets the instruction sets of the processor."""

    def has(*names):
        monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(names))

    return has


def training(folder, output, *options):
    return (
        *("train", "--model", "r18_d16", "--no-aux-head", "--classes", folder / "classes.json"),
        *("--images", folder / "images", "--masks", folder / "masks", "--output", output),
        *("--steps", 4, "--crop", 32, "--batch", 2, "--save-every", 2, *options),
    )


def noted(folder):
    record = read_run(folder)
    return record["settings"]["precision"], record["options"].get("precision")


def last(folder):
    return arrays(folder / "last.weights.h5")


@pytest.mark.long
def test_a_run_keeps_what_auto_chose(labelled_folder, tmp_path, tiny_networks, flags, monkeypatch):
    cut, again, other = (tmp_path / name for name in ("cut", "again", "other"))
    save = RunFolder.save

    def save_and_fail(self):
        save(self)
        raise OSError("the machine goes down")

    flags("avx512f", "amx_bf16")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save_and_fail)
        ended = run(*training(labelled_folder, cut, *AUTO), check=False)
    assert "the machine goes down" in ended.stderr and saved_step(cut) == 2
    assert "Precision: mixed_bfloat16 (auto: the processor has AMX).\n" in ended.stderr
    assert noted(cut) == ("mixed_bfloat16", "mixed_bfloat16")

    flags("avx512f")
    resumed = run(*training(labelled_folder, cut, *AUTO), "--resume")
    assert f"Precision: mixed_bfloat16 (auto: as noted in {cut}).\n" in resumed.stderr
    repeated = run("train", "--from-run", cut, "--output", again)
    assert "Precision" not in repeated.stderr and noted(again) == noted(cut)
    assert saved_step(cut) == 4 and last(cut) == last(again)

    chosen_here = run("train", "--from-run", cut, "--output", other, *AUTO)
    assert "Precision: float32 (auto: the processor has no AMX).\n" in chosen_here.stderr
    assert noted(other) == ("float32", "float32")
    assert last(other).keys() == last(cut).keys() and last(other) != last(cut)


def test_the_default_is_float32_on_every_processor(labelled_folder, tmp_path, tiny_networks, flags):
    flags("amx_bf16")
    result = run(*training(labelled_folder, tmp_path / "run"), "--steps", 1)
    assert "Precision" not in result.stderr and noted(tmp_path / "run") == ("float32", None)


def test_what_auto_cannot_do_is_said(labelled_folder, tmp_path):
    command = training(labelled_folder, tmp_path / "run", *AUTO)
    failed = run(*command, "--strategy", "multiworker", "--workers", 2, check=False)
    assert failed.exit_code == 2
    assert "--precision auto cannot be combined with --strategy multiworker" in failed.stderr
    failed = run(*command, "--resume", check=False)
    assert failed.exit_code == 1 and "run is not a training run folder" in failed.stderr
