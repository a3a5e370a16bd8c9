"""Two logical CPU devices against one, for every field of `Recipe` that changes a step."""

import dataclasses

import numpy as np
import pytest
from distributed_run import outputs, start_script
from recipe_steps import BASE, CASES, STEPS, arrays_of, assert_same_steps

import keras_deeplab as kd
from keras_deeplab.training.losses import PIXEL_LOSSES, REGION_LOSSES
from keras_deeplab.training.recipe import CHOICES

pytestmark = pytest.mark.long

OF_THE_DATA = {"crop", "base_size", "scale_range", "rotate", "augmentation", "seed"}
OF_THE_LOOP = {"patience", "precise_bn"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("steps") / "result.npz"
    process = start_script("recipe_steps.py", path)
    ((_, errors),) = outputs([process])
    assert process.returncode == 0, errors
    return np.load(path)


def test_every_field_of_a_step_has_a_case():
    """A new field of `Recipe` needs a case, or belongs to data or loop."""
    in_cases = set(BASE).union(*CASES.values())
    fields = {field.name for field in dataclasses.fields(kd.Recipe)}
    assert in_cases.isdisjoint(OF_THE_DATA | OF_THE_LOOP)
    assert in_cases | OF_THE_DATA | OF_THE_LOOP == fields
    for options in CASES.values():
        assert all(getattr(kd.Recipe(), name) != value for name, value in options.items())


def test_every_choice_of_a_step_has_a_case():
    recipes = [kd.Recipe(**{**BASE, **options}) for options in CASES.values()]
    for name in ("optimizer", "schedule", "divide_by"):
        assert {getattr(recipe, name) for recipe in recipes} == set(CHOICES[name])
    losses = set().union(*(recipe.loss for recipe in recipes))
    assert losses == {*PIXEL_LOSSES, *REGION_LOSSES}


@pytest.mark.parametrize("name", CASES)
def test_steps_equal_one_device(saved, name):
    assert_same_steps(arrays_of(saved, "one", name), arrays_of(saved, "two", name))


def test_every_case_has_steps_of_its_own(saved):
    """Otherwise a case would not show whether its options reach the devices."""
    losses = [arrays_of(saved, "one", name)["losses"] for name in CASES]
    for index, ours in enumerate(losses):
        for theirs in losses[:index]:
            assert np.nanmax(np.abs(ours - theirs)) > 1e-4


def test_a_step_that_overflows_on_one_device_is_skipped_on_all(saved):
    found = arrays_of(saved, "two", "mixed_float16")
    assert np.isfinite(found["losses"]).tolist() == [True, False, True, True]
    assert all(np.isfinite(value).all() for key, value in found.items() if key != "losses")
    (scale,) = (value for key, value in found.items() if "dynamic_scale" in key)
    updates = max(value for key, value in found.items() if key.endswith(" iteration"))
    assert scale == 2**14 and updates == STEPS - 1
