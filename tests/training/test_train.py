import csv

import h5py
import keras
import numpy as np
import pytest

import keras_deeplab as kd
from keras_deeplab.training.loop import stretches


@pytest.mark.parametrize(
    ("start", "steps", "every", "expected"),
    [
        (0, 10, 4, [(0, 2, 4), (8, 1, 2)]),
        (3, 10, 4, [(3, 1, 1), (4, 1, 4), (8, 1, 2)]),
        (8, 8, 4, []),
        (0, 3, 4, [(0, 1, 3)]),
        (5, 7, 4, [(5, 1, 2)]),
    ],
)
def test_stretches_end_at_every_validation(start, steps, every, expected):
    assert stretches(start, steps, every) == expected


def test_bad_recipes_are_named():
    for options, message in (
        ({"steps": 0}, "steps must be 1 or more, got 0"),
        ({"optimizer": "lamb"}, "'sgd' or 'adamw', got 'lamb'"),
        ({"scales": (2.0, 0.5)}, "rising positive factors"),
    ):
        with pytest.raises(ValueError, match=message):
            kd.Recipe(**options)


def test_a_run_writes_its_files_and_learns(labelled_folder, tmp_path):
    """Red roofs and blue pools: 30 steps tell them apart."""
    table = kd.data.read_class_table(labelled_folder / "classes.json")
    dataset = kd.data.from_folder(labelled_folder / "images", labelled_folder / "masks", table)
    keras.utils.set_random_seed(0)
    model = kd.build("r18_d16", 2)
    recipe = kd.Recipe(
        steps=30, batch_size=4, crop=32, optimizer="adamw", learning_rate=2e-3, scales=(1, 1)
    )
    output = tmp_path / "run"
    rows = kd.train(
        model,
        dataset,
        recipe=recipe,
        output=output,
        num_classes=2,
        validation=dataset,
        validate_every=15,
    )
    written = read_history(output)
    assert [int(row["step"]) for row in written] == [10, 15, 20, 30]
    assert written[1]["val_miou"] and not written[0]["val_miou"]
    # Of ln 2 for a coin toss, times the two thirds of pixels that have a label, to less.
    assert float(rows[-1]["loss"]) < 0.9 * np.log(2) * 2 / 3
    assert (output / "curve.png").read_bytes().startswith(b"\x89PNG")
    kd.load_weights(kd.build("r18_d16", 2), output / "best.weights.h5")
    kd.load_weights(kd.build("r18_d16", 2), output / "last.weights.h5")
    with h5py.File(output / "best.weights.h5") as file:
        assert "optimizer" not in file
    with pytest.raises(ValueError, match="already holds a run"):
        kd.train(model, dataset, recipe=recipe, output=output, num_classes=2)
    with pytest.raises(ValueError, match="no run to resume"):
        kd.train(model, dataset, recipe=recipe, output=tmp_path, num_classes=2, resume=True)


def test_an_interrupted_run_resumes_bit_for_bit(labelled_folder, tmp_path):
    table = kd.data.read_class_table(labelled_folder / "classes.json")
    dataset = kd.data.from_folder(labelled_folder / "images", labelled_folder / "masks", table)
    recipe = kd.Recipe(steps=6, batch_size=2, crop=32, optimizer="adamw", learning_rate=1e-3)

    def run(output, resume=False, fails=False):
        keras.utils.set_random_seed(3)
        model = kd.build("r18_d16", 2, aux_head=True)
        validation = _FailingValidation(dataset, fails)
        kd.train(
            model,
            dataset,
            recipe=recipe,
            output=output,
            num_classes=2,
            validation=validation,
            validate_every=3,
            save_every=2,
            resume=resume,
        )
        return [np.asarray(weight) for weight in model.weights]

    whole = run(tmp_path / "whole")
    with pytest.raises(_Failure):
        run(tmp_path / "cut", fails=True)  # at step 3, after the save of step 2
    resumed = run(tmp_path / "cut", resume=True)
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(
        *(read_history(tmp_path / name) for name in ("whole", "cut")), strict=True
    ):
        assert one.keys() == other.keys()
        for column, value in one.items():
            assert float(value) == pytest.approx(float(other[column]), rel=1e-4)


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


class _Failure(Exception):
    pass


class _FailingValidation:
    """A validation set that cannot be read the first time."""

    def __init__(self, dataset, fails):
        self.dataset, self.fails = dataset, fails

    def __iter__(self):
        if self.fails:
            raise _Failure
        return iter(self.dataset)
