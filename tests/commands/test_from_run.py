"""What a run was given, noted and given again."""

import dataclasses
import json
import pathlib

import click
import in_process
import pytest
from click.testing import CliRunner

import keras_deeplab as kd
from keras_deeplab.commands.data_options import (
    FILE,
    OUTPUT_FOLDER,
    file_format,
    labelled_images,
    named_dataset,
)
from keras_deeplab.commands.repetition import from_run, given_options
from keras_deeplab.zoo.run_folders import RUN_VERSION


@click.command("repeatable")
@from_run()
@click.option("--model", "variant", required=True)
@named_dataset()
@labelled_images()
@file_format()
@click.option("--classes", type=FILE)
@click.option("--output", type=OUTPUT_FOLDER, required=True)
@click.option("--scales", "scale_range", nargs=2, type=float, default=(0.5, 2.0))
@click.option("--rotate/--no-rotate", default=None)
@click.option("--aux-head/--no-aux-head", default=True)
@click.option("--steps", type=int, default=80_000)
@click.option("--resume", is_flag=True)
@click.pass_context
def command(context, output, resume, **options):
    """Notes what it was given, as a run does."""
    output.mkdir()
    note(output, options=given_options(context), resume=resume)
    context.obj.update(options)


def note(folder, **record):
    (folder / "run.json").write_text(json.dumps({"version": RUN_VERSION, **record}))


def run(*arguments):
    """Click's result, and the values of the options."""
    values = {}
    result = CliRunner().invoke(command, list(map(str, arguments)), obj=values)
    return result, values


@pytest.fixture
def folders(tmp_path):
    for name in ("north", "south", "masks"):
        (tmp_path / name).mkdir()
    (tmp_path / "classes.json").touch()
    return tmp_path


def given(folders):
    return (
        *("--model", "r18_d8", "--images", folders / "north", "--images", folders / "south"),
        *("--classes", folders / "classes.json", "--bands", "4,1,2", "--value-range", 0, 4095),
        *("--scales", 0.75, 1.5, "--no-rotate", "--mask-suffix", "_m", "--no-aux-head"),
    )


def test_a_repetition_has_the_same_options(folders):
    one, two, three = (folders / name for name in ("one", "two", "three"))
    result, first = run(*given(folders), "--output", one, "--resume")
    assert result.exit_code == 0, result.output
    assert first["bands"] == (4, 1, 2) and first["images"] == (folders / "north", folders / "south")
    result, second = run("--from-run", one, "--output", two)
    assert result.exit_code == 0, result.output
    assert second == first
    # The repetition of a repetition; and what belongs to one folder was not taken along.
    result, third = run("--from-run", two, "--output", three)
    assert third == first
    noted = json.loads((three / "run.json").read_text())
    assert noted == {**json.loads((one / "run.json").read_text()), "resume": False}


def test_only_what_was_given_is_noted(folders):
    run("--model", "r18_d8", "--rotate", "--steps", 80_000, "--output", folders / "run")
    noted = json.loads((folders / "run/run.json").read_text())["options"]
    # A given value is noted though it is the default; those of later versions may differ.
    assert noted == {"variant": "r18_d8", "rotate": True, "steps": 80_000}


def test_the_command_line_wins(folders):
    run(*given(folders), "--output", folders / "one")
    changed = ("--rotate", "--bands", "1,2,3", "--images", folders / "south", "--scales", 1, 1)
    result, values = run(*changed, "--output", folders / "two", "--from-run", folders / "one")
    assert result.exit_code == 0, result.output
    assert values["rotate"] is True and values["aux_head"] is False
    assert values["bands"] == (1, 2, 3) and values["value_range"] == (0, 4095)
    assert values["images"] == (folders / "south",) and values["scale_range"] == (1, 1)
    run("--from-run", folders / "two", "--output", folders / "three")
    noted = [json.loads((folders / name / "run.json").read_text()) for name in ("two", "three")]
    assert noted[0] == noted[1] and noted[0]["options"]["bands"] == [1, 2, 3]


def test_data_that_went_away_is_named(folders):
    run(*given(folders), "--output", folders / "one")
    (folders / "north").rmdir()
    result, _ = run("--from-run", folders / "one", "--output", folders / "two")
    assert result.exit_code == 2 and not (folders / "two").exists()
    assert "'--images'" in result.output and "does not exist" in result.output


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "is not a training run folder"),
        ({"version": 1, "recipe": {}}, "was written by another version of keras_deeplab (record"),
        ({"recipe": {}}, "notes no options: the run was started from Python"),
        ({"options": {"stepz": 3, "steps": 3}}, "options that repeatable does not have: stepz."),
    ],
)
def test_what_is_no_run_to_repeat_is_said(tmp_path, record, message):
    if record is not None:
        note(tmp_path, **record)
    result, _ = run("--from-run", tmp_path, "--output", tmp_path / "run")
    assert result.exit_code == 2 and result.exception.code == 2
    said = " ".join(result.output.split())
    assert message in said and "Invalid value for '--from-run'" in said
    assert str(pathlib.Path(tmp_path) / "run.json") in said.replace(" ", "") or record is None


def test_losses_and_class_weights_are_taken_from_a_run(tmp_path):
    given = {"loss": {"focal": 1.0, "dice": 2.0}, "class_weights": [1.0, 2.0]}
    note(tmp_path, recipe=dataclasses.asdict(kd.Recipe(**given)), options=given)
    result = in_process.run("train", "--from-run", tmp_path, "--show-recipe")
    recipe = json.loads(result.output[result.output.index("{") :])
    assert recipe.items() >= given.items()
