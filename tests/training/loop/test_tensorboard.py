"""Event files of real trainings, as TensorBoard's own reader shows them."""

import io
import time

import keras
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_deeplab as kd
from keras_deeplab.data.class_table import ClassTable
from keras_deeplab.models.layers import ImageInput
from keras_deeplab.training.loop.tensorboard import EVENTS, TensorBoardLog

TABLE = ClassTable(("roof", "blue pool", "tree"), ((255, 0, 0), (0, 0, 255), (0, 255, 0)))


class Scores(keras.callbacks.Callback):
    """Scores every second epoch, with the metrics of one given pair of label maps."""

    def __init__(self, labels, predictions):
        super().__init__()
        self.given = labels, predictions
        self.metrics = None

    def on_epoch_end(self, epoch, logs=None):
        if epoch % 2:
            self.metrics = kd.metrics.SegmentationMetrics(3)
            self.metrics.update(*self.given)
            logs["val_miou"] = self.metrics.result()["mIoU"]
            logs["val_miou_flip"] = 0.25


def pixel_model():
    """A network whose logits are the colours red, blue and green, plus a bias that it learns."""
    image = keras.Input((None, None, 3))
    classifier = keras.layers.Conv2D(3, 1)
    model = keras.Model(image, classifier(ImageInput(None, None, name="preprocessing")(image)))
    classifier.set_weights([np.eye(3)[:, [0, 2, 1]].reshape(1, 1, 3, 3), np.zeros(3)])
    return model


def fit(model, callbacks, *, epoch=0):
    """An epoch of six steps."""
    images, labels = np.zeros((6, 32, 32, 3), "float32"), np.zeros((6, 32, 32), "uint8")
    settings = {"batch_size": 1, "initial_epoch": epoch, "epochs": epoch + 1, "verbose": 0}
    model.fit(images, labels, callbacks=callbacks, **settings)


def shown(folder):
    reader = EventAccumulator(str(folder / EVENTS), {"scalars": 0, "images": 0})
    return reader.Reload()


def points(reader, tag):
    return {event.step: event.value for event in reader.Scalars(tag)}


@pytest.fixture(scope="module")
def sample():
    """A scene of the three colours, wider than the log shows, with ignored pixels."""
    label = np.random.default_rng(0).integers(0, 3, (10, 32)).repeat(32, 0).repeat(32, 1)
    image = np.array(TABLE.palette, np.uint8)[label] // 2 + 40
    label = label.astype(np.uint8)
    label[:64] = 255
    return image.astype(np.float32), label


@pytest.fixture(scope="module")
def run(tmp_path_factory, sample):
    """Two epochs to step 12; then, as after a kill, a run from step 10 to step 16."""
    folder = tmp_path_factory.mktemp("run")
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    scores = Scores(labels, predictions)
    small = sample[0][:64, :96].astype(np.uint8), sample[1][:64, :96]
    recorded = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: recorded.append(
            (logs["loss"], float(model.optimizer.learning_rate))
        )
    )
    model = pixel_model()
    kd.compile_for_training(model, kd.Recipe(steps=12, crop=32))
    log = TensorBoardLog(folder, TABLE, scores=scores, samples=[sample, small], every=1)
    for epoch in range(2):
        fit(model, [scores, watch, log], epoch=epoch)
    log.close()
    first = shown(folder)
    time.sleep(1.1)  # event files are read in the order of the seconds in their names
    log = TensorBoardLog(folder, TABLE, every=4, step=10)
    fit(model, [watch, log])
    log.close()
    return folder, first, recorded


def test_curves_have_the_values_of_their_steps(run):
    _, reader, recorded = run
    losses, rates = points(reader, "train/loss"), points(reader, "train/learning_rate")
    assert list(losses) == list(rates) == list(range(1, 13))  # across the ends of epochs
    for step in losses:
        np.testing.assert_allclose((losses[step], rates[step]), recorded[step - 1], rtol=1e-6)
    assert len(set(rates.values())) == 12


def test_scores_appear_where_they_were_measured(run):
    _, reader, _ = run
    # By hand: roof is 1 of 2 pixels in union, pool 2 of 3, tree occurs nowhere.
    assert points(reader, "validation/miou") == {12: pytest.approx((1 / 2 + 2 / 3) / 2)}
    assert points(reader, "validation/miou_flip") == {12: 0.25}
    assert points(reader, "IoU/roof") == {12: 0.5}
    assert points(reader, "IoU/blue pool") == {12: pytest.approx(2 / 3)}
    assert np.isnan(points(reader, "IoU/tree")[12])
    assert "train/loss_scale" not in reader.Tags()["scalars"]


def test_pictures_show_prediction_image_and_label(run, sample):
    _, reader, _ = run
    assert [event.step for event in reader.Images("samples/1")] == [6, 12]
    event = reader.Images("samples/0")[0]
    assert (event.width, event.height) == (3 * 512, 160)  # of 1024 x 320
    with Image.open(io.BytesIO(event.encoded_image_string)) as picture:
        assert picture.size == (3 * 512, 160)
        prediction, plain, label = np.split(np.asarray(picture).astype(int), 3, axis=1)
    middle = np.s_[8::16, 8::16]  # of the squares
    image, classes = sample[0][16::32, 16::32], sample[1][16::32, 16::32]
    np.testing.assert_array_equal(plain[middle], image)
    true = np.random.default_rng(0).integers(0, 3, (10, 32))
    colors = np.array(TABLE.palette)
    np.testing.assert_allclose(prediction[middle], 0.45 * image + 0.55 * colors[true], atol=0.51)
    expected = 0.45 * image + 0.55 * colors[true]
    expected[classes == 255] = image[classes == 255]
    np.testing.assert_allclose(label[middle], expected, atol=0.51)
    assert (label[:32] == plain[:32]).all() and (label[32:] != plain[32:]).any(-1).all()


def test_a_small_picture_keeps_its_size(run):
    event = run[1].Images("samples/1")[0]
    assert (event.width, event.height) == (3 * 96, 64)


def test_a_resumed_run_shows_each_step_once(run):
    folder, _, recorded = run
    reader = shown(folder)
    assert [event.step for event in reader.Scalars("train/loss")] == [*range(1, 11), 12, 16]
    for step in (12, 16):  # the second run's
        loss, rate = recorded[12 + step - 10 - 1]
        np.testing.assert_allclose(points(reader, "train/loss")[step], loss, rtol=1e-6)
        np.testing.assert_allclose(points(reader, "train/learning_rate")[step], rate, rtol=1e-6)
    assert reader.Scalars("validation/miou") == []  # of step 12, behind the resumed step
    assert [event.step for event in reader.Images("samples/0")] == [6]
    assert len(list((folder / EVENTS).iterdir())) == 2  # a file for each run


def test_loss_scale_of_float16_and_points_before_the_end(tmp_path):
    model = pixel_model()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=64)
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    log = TensorBoardLog(tmp_path, TABLE, every=1)
    log.set_model(model)
    log.on_train_begin()
    log.on_train_batch_end(0, {"loss": 3.0})
    reader = shown(tmp_path)  # while the file is open
    assert points(reader, "train/loss_scale") == {1: 64}
    assert points(reader, "train/learning_rate") == {1: 0.5}
    log.close()


def test_nothing_is_written_before_training(tmp_path):
    TensorBoardLog(tmp_path, TABLE).close()
    assert list(tmp_path.iterdir()) == []
