"""Recipe options of `train` that contradict each other are refused before images are read."""

import json

import pytest
from in_process import run

import keras_deeplab as kd
from keras_deeplab.zoo.run_folders import read_run


def training(folder, output, *options):
    return (
        *("train", "--model", "r18_d16", "--no-aux-head", "--classes", folder / "classes.json"),
        *("--images", folder / "images", "--masks", folder / "masks", "--output", output),
        *("--crop", 32, *options),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lr", 5e-5, "--end-lr", 1e-4), "the rate would rise"),
        (("--steps", 50, "--warmup", 50), "warmup must be shorter than the 50 steps"),
        (("--patience", 2), "(--patience) needs validation images"),
        (("--recipe", "finetune"), "--freeze-bn) has nothing to freeze"),
        (("--recipe", "finetune_heads"), "would keep random weights"),
        (("--freeze", "stem", "--steps", 2), "freeze='stem' would keep random weights"),
    ],
)
def test_contradictions_are_refused(labelled_folder, tmp_path, tiny_networks, options, message):
    (labelled_folder / "masks/scene_0.png").write_bytes(b"of no use")
    failed = run(*training(labelled_folder, tmp_path / "run", *options), check=False)
    assert failed.exit_code == 1 and message in " ".join(failed.output.split())
    assert "Traceback" not in failed.output and not (tmp_path / "run").exists()


def test_a_batch_of_one_is_refused(labelled_folder, tmp_path):
    command = training(labelled_folder, tmp_path / "run", "--batch", 1)
    failed = run(*command, check=False)
    assert failed.exit_code == 1 and "--freeze-bn" in failed.output
    assert "leaves batch norm one image" in failed.output and not (tmp_path / "run").exists()


@pytest.mark.long
def test_only_its_own_options_resume_a_run(labelled_folder, tmp_path, tiny_networks):
    trained, output = tmp_path / "trained", tmp_path / "run"
    run(*training(labelled_folder, trained, "--batch", 2, "--steps", 1))
    given = ("--recipe", "finetune_heads", "--init", trained, "--steps", 4, "--save-every", 2)
    command = training(labelled_folder, output, *given)
    run(*command)
    noted = read_run(output)["recipe"]
    assert noted["end_learning_rate"] is None  # so that a repetition scales it, too
    shown = run("train", "--from-run", output, "--lr", 0.5, "--show-recipe").output
    assert json.loads(shown[shown.index("{") :])["end_learning_rate"] == 0.005
    failed = run(*command, "--resume", "--ema", 0.5, "--save-every", 3, check=False)
    assert failed.exit_code == 1 and "ema: 0.99 there, 0.5 here" in failed.output
    failed = run(*command, "--resume", "--validate-every", 3, check=False)
    assert failed.exit_code == 1 and "validate_every: 250 there, 3 here" in failed.output
    run(*command, "--resume")
    assert kd.load(output).metadata.variant == "r18_d16"
