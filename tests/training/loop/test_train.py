import csv
import dataclasses
import errno
import json
import os
import shutil
import signal

import h5py
import keras
import numpy as np
import pytest
from tiny import blocks, tiny_model, with_statistics

import keras_deeplab as kd
from keras_deeplab.training.loop.interruption import Interrupted
from keras_deeplab.training.loop.run import fit_segments
from keras_deeplab.training.loop.run_folder import NonFinite

# Everything that has a state: momentum of two kinds, averages, patience, accumulated gradients.
RECIPE = kd.Recipe(
    steps=12,
    batch_size=2,
    crop=32,
    optimizer="adamw",
    learning_rate=0.01,
    accumulate=2,
    ema=0.5,
    patience=5,
)
PLAIN = {"steps": 12, "batch_size": 2, "crop": 32}  # and quick to compile


def run(output, *, resume=False, recipe=RECIPE, model=None, **options):
    """Trains the tiny network; gives its weights and those of the optimizer."""
    model = model or tiny_model()
    kd.train(
        model,
        blocks(),
        recipe=recipe,
        output=output,
        classes=["dark", "bright"],
        resume=resume,
        **{"validation": blocks(2), "validate_every": 5, "save_every": 2, **options},
    )
    return [np.asarray(weight) for weight in (*model.weights, *model.optimizer.variables)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts: its folder and what it ends with."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    return output, run(output)


class At(keras.callbacks.Callback):
    """Calls a function after the batch of a number."""

    def __init__(self, number, function):
        super().__init__()
        self.left, self.function = number, function

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            self.function()


class Validation:
    """A validation set that calls a function when it is read."""

    def __init__(self, function):
        self.function = function

    def __iter__(self):
        self.function()
        return iter(blocks(2))


class Failure(Exception):
    pass


def fail():
    raise Failure


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def assert_same(folder, weights, whole):
    for one, other in zip(whole[1], weights, strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("history.csv", "best.weights.h5"):
        if name.endswith("csv"):
            assert (folder / name).read_text() == (whole[0] / name).read_text()
        else:
            assert arrays(folder / name) == arrays(whole[0] / name)


def arrays(path):
    """Every array of a weights file as bytes by name."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[...].tobytes()})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


@pytest.mark.long
def test_a_run_that_ends_again_and_again_resumes_bit_for_bit(whole, tmp_path):
    with pytest.raises(Failure):
        run(tmp_path, callbacks=[At(3, fail)])
    assert saved_step(tmp_path) == 2  # between two updates
    written = ("best.weights.h5", "last.weights.h5", "history.csv", "curve.png", "check_image.tif")
    for name in written:
        (tmp_path / f".17-{name}").touch()  # as a process leaves them that is killed

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM") as caught:
        run(tmp_path, resume=True, save_every=99, callbacks=[At(1, terminate)])
    assert caught.value.signal == signal.SIGTERM
    assert saved_step(tmp_path) == 4  # noted after step 3, seen after step 4
    assert signal.getsignal(signal.SIGTERM) is handler

    with pytest.raises(Interrupted):  # at once, in the midst of the validation
        run(tmp_path, resume=True, validation=Validation(terminate))
    assert saved_step(tmp_path) == 5 and not read_history(tmp_path)
    with pytest.raises(Failure):  # in the same validation, made up for
        run(tmp_path, resume=True, validation=Validation(fail))
    assert saved_step(tmp_path) == 5

    assert_same(tmp_path, run(tmp_path, resume=True), whole)
    assert not list(tmp_path.glob(".*"))


def saved_step(folder):
    with h5py.File(folder / "last.weights.h5") as file:
        return file["run_state"].attrs["step"]


def test_a_loss_that_is_no_number_names_the_step_and_loses_nothing(tmp_path):
    def poison():
        bias = model.get_layer("decode_head-conv_seg").bias
        bias.assign(np.full(bias.shape, np.nan))

    model = tiny_model()
    with pytest.raises(
        NonFinite, match=r"infinite at step 4 \(nan\).*last.weights.h5 is of an earlier"
    ):
        run(tmp_path, model=model, recipe=kd.Recipe(**PLAIN), callbacks=[At(3, poison)])
    assert saved_step(tmp_path) == 2
    assert all(np.isfinite(np.frombuffer(a, "f4")).all() for a in read_layers(tmp_path).values())


def test_weights_that_are_no_numbers_are_not_saved(tmp_path):
    def poison():
        model.get_layer("backbone-layer1-bn").moving_variance.assign([np.inf] * 8)

    model = tiny_model()
    with pytest.raises(NonFinite, match=r"moving_variance is NaN or infinite after step 4"):
        run(tmp_path, model=model, recipe=kd.Recipe(**PLAIN), callbacks=[At(3, poison)])
    assert saved_step(tmp_path) == 2


def read_layers(folder):
    return {
        name: data
        for name, data in arrays(folder / "last.weights.h5").items()
        if name.startswith("layers")
    }


def test_the_averages_are_validated_and_published(tmp_path):
    """Keras's rule in NumPy: `average = m * average + (1 - m) * weight`, at first the weight."""
    seen, recipe = [], kd.Recipe(**{**PLAIN, "steps": 5}, learning_rate=0.1, ema=0.5)
    model = tiny_model()
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            [np.asarray(variable) for variable in model.trainable_variables]
        )
    )
    run(tmp_path, model=model, recipe=recipe, callbacks=[look])
    averages = seen[0]
    for weights in seen[1:]:
        averages = [0.5 * a + 0.5 * w for a, w in zip(averages, weights, strict=True)]
    best = tiny_model(seed=9)
    kd.load_weights(best, tmp_path / "best.weights.h5")
    for average, variable, left in zip(
        averages, best.trainable_variables, model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(average, np.asarray(variable), atol=1e-6)
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(left))
    score = kd.evaluate(best, blocks(2), num_classes=2).result()["mIoU"]
    assert float(read_history(tmp_path)[-1]["val_miou"]) == score
    run(tmp_path / "unvalidated", recipe=recipe, validation=None)
    assert arrays(tmp_path / "unvalidated/averaged.weights.h5") == arrays(
        tmp_path / "best.weights.h5"
    )


def test_patience_ends_a_run_and_lives_through_a_resume(tmp_path):
    # Nothing changes, and so neither does the score.
    still = {"learning_rate": 1e-12, "freeze_batch_norm": True}
    recipe = kd.Recipe(**PLAIN, **still, patience=2)
    run(tmp_path, recipe=recipe, validate_every=2, model=with_statistics(tiny_model()))
    history = read_history(tmp_path)
    assert [row["step"] for row in history] == ["2", "4", "6"]
    assert len({row["val_miou"] for row in history}) == 1
    run(tmp_path, recipe=recipe, validate_every=2, resume=True)
    assert read_history(tmp_path) == history


class Stop(keras.callbacks.Callback):
    """Stops the run at the end of an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


@pytest.mark.long
@pytest.mark.parametrize("number", [1, 2, 4, None])
def test_a_callback_stops_a_run(tmp_path, number):
    """After a batch or an epoch of any call of `fit`."""
    model, recipe = tiny_model(), kd.Recipe(**{**PLAIN, "steps": 5})
    stop = At(number, lambda: setattr(model, "stop_training", True)) if number else Stop()
    run(tmp_path, model=model, recipe=recipe, validate_every=2, callbacks=[stop])
    assert saved_step(tmp_path) == (number or 2)
    run(tmp_path, model=model, recipe=recipe, validate_every=2, resume=True)
    assert saved_step(tmp_path) == 5


def test_patience_without_validation_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"patience=5 \(--patience\) needs validation images"):
        run(tmp_path / "run", validation=None)
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_run_is_resumed_with_its_own_recipe_only(tmp_path):
    with pytest.raises(Failure):
        run(tmp_path, callbacks=[At(3, fail)])
    last = (tmp_path / "last.weights.h5").read_bytes()
    other = dataclasses.replace(RECIPE, optimizer="sgd", learning_rate=0.02)
    message = r"run\.json: optimizer: adamw there, sgd here; learning_rate: 0\.01 there, 0\.02 here"
    with pytest.raises(ValueError, match=message):
        run(tmp_path, resume=True, recipe=other)
    # The same numbers, said differently.
    same = dataclasses.replace(RECIPE, end_learning_rate=1e-4, scale_range=[0.5, 2.0])
    with pytest.raises(Failure):
        run(tmp_path, resume=True, recipe=same, callbacks=[At(1, fail)])
    record = json.loads((tmp_path / "run.json").read_text())
    record["recipe"]["momentum"] = 0.9
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"run\.json notes a recipe.*'momentum'"):
        run(tmp_path, resume=True)
    assert (tmp_path / "last.weights.h5").read_bytes() == last


@pytest.mark.long
def test_a_run_that_could_not_save_leaves_no_record_to_the_next(tmp_path, monkeypatch):
    def full_disk(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recipe = kd.Recipe(**PLAIN)
    with monkeypatch.context() as patch:  # weights alone do not fit
        patch.setattr(keras.Model, "save_weights", full_disk)
        with pytest.raises(OSError, match=r"last\.weights\.h5 was not written at step 2"):
            run(tmp_path, recipe=recipe)
    other = dataclasses.replace(recipe, learning_rate=1e-3)
    with pytest.raises(Failure):
        run(tmp_path, recipe=other, callbacks=[At(3, fail)])
    assert json.loads((tmp_path / "run.json").read_text())["recipe"]["learning_rate"] == 1e-3
    run(tmp_path, recipe=other, resume=True)


@pytest.mark.long
def test_what_a_run_froze_stays_frozen(tmp_path):
    """Also when it is resumed with other weights: those of the fresh norm are trained by then."""
    recipe = kd.Recipe(**{**PLAIN, "steps": 6}, optimizer="adamw", freeze_batch_norm=True)

    def model():
        return with_statistics(tiny_model(), "backbone-stem")

    whole = tmp_path / "whole", run(tmp_path / "whole", recipe=recipe, model=model())
    with pytest.raises(Failure):
        run(tmp_path / "cut", recipe=recipe, model=model(), callbacks=[At(3, fail)])
    resumed = tiny_model()
    weights = run(tmp_path / "cut", recipe=recipe, model=resumed, resume=True)
    assert_same(tmp_path / "cut", weights, whole)
    assert not resumed.get_layer("backbone-stem-bn").trainable
    assert np.any(resumed.get_layer("backbone-layer1-bn").moving_mean)


def test_a_run_of_an_earlier_version_is_not_resumed(tmp_path):
    recipe = kd.Recipe(**{**PLAIN, "steps": 4})
    with pytest.raises(Failure):
        run(tmp_path, recipe=recipe, callbacks=[At(3, fail)])
    with h5py.File(tmp_path / "last.weights.h5", "a") as file:
        del file["run_state"].attrs["frozen"]
    with pytest.raises(ValueError, match="saved by an earlier version"):
        run(tmp_path, recipe=recipe, resume=True)


@pytest.mark.long
def test_rows_are_numbers_also_after_a_resume(tmp_path):
    options = {"recipe": kd.Recipe(**PLAIN), "classes": ["dark", "bright"]}
    options |= {"validation": blocks(2), "validate_every": 5, "save_every": 2}
    whole = kd.train(tiny_model(), blocks(), output=tmp_path / "whole", **options)
    cut = {"output": tmp_path / "cut", **options}
    with pytest.raises(Failure):
        kd.train(tiny_model(), blocks(), callbacks=[At(7, fail)], **cut)
    rows = kd.train(tiny_model(), blocks(), resume=True, **cut)
    assert rows == whole
    for row in rows:
        step, *numbers = row.values()
        assert type(step) is int and all(type(n) in (float, type(None)) for n in numbers)


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
    assert fit_segments(start, steps, every) == expected


def test_a_run_writes_its_files_and_learns(tmp_path):
    recipe = kd.Recipe(steps=30, batch_size=4, crop=32, optimizer="adamw", learning_rate=0.02)
    run(tmp_path, recipe=recipe, validate_every=15)
    written = read_history(tmp_path)
    assert [int(row["step"]) for row in written] == [10, 15, 20, 30]
    assert [bool(row["val_miou"]) for row in written] == [False, True, False, True]
    assert [bool(row["val_miou_flip"]) for row in written] == [False, True, False, True]
    # Of ln 2 for a coin toss, times the two thirds of pixels that have a label, to less.
    assert float(written[-1]["loss"]) < 0.8 * np.log(2) * 2 / 3
    assert float(written[-1]["val_miou"]) > 0.6
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    for name in ("best", "last"):
        kd.load_weights(tiny_model(seed=9), tmp_path / f"{name}.weights.h5")
    with h5py.File(tmp_path / "best.weights.h5") as file:
        assert "optimizer" not in file
    with pytest.raises(ValueError, match="already contains a run"):
        run(tmp_path, recipe=recipe)
    with pytest.raises(ValueError, match="Cannot resume"):
        run(tmp_path / "none", recipe=recipe, resume=True)


def read_history(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_kill_between_history_and_weights_adds_no_row(whole, tmp_path):
    """The history has the row of an epoch already, the weights are those before its validation."""
    folder = tmp_path / "run"

    def keep():
        shutil.copyfile(folder / "last.weights.h5", tmp_path / "before_validation.h5")

    run(folder, callbacks=[At(5, keep)])
    history = (folder / "history.csv").read_text()
    shutil.copyfile(tmp_path / "before_validation.h5", folder / "last.weights.h5")
    run(folder, resume=True)
    assert (folder / "history.csv").read_text() == history
    assert history == (whole[0] / "history.csv").read_text()
