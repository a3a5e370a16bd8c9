import numpy as np
import pytest

from keras_deeplab.training.region_losses import DiceLoss, LovaszSoftmax


def jaccard_loss(truth, wrong):
    """1 - intersection / union of a class when the pixels of a set are predicted wrong."""
    predicted = truth ^ wrong
    union = (truth | predicted).sum()
    return 1 - (truth & predicted).sum() / union if union else 0.0


def lovasz_extension(truth, errors):
    """Lovász extension of the Jaccard loss: its growth as the worst pixels turn wrong in order."""
    wrong = np.zeros(len(truth), bool)
    total = before = 0.0
    for pixel in np.argsort(-errors, kind="stable"):
        wrong[pixel] = True
        after = jaccard_loss(truth, wrong)
        total += errors[pixel] * (after - before)
        before = after
    return total


def dice(truth, errors):
    probabilities = np.where(truth, 1 - errors, errors)
    return 1 - 2 * probabilities[truth].sum() / (truth.sum() + probabilities.sum())


def oracle(class_loss, labels, logits):
    """Mean over images of the mean over present classes, of valid pixels; float64."""
    scores = np.exp(np.asarray(logits, np.float64))
    probabilities = scores / scores.sum(-1, keepdims=True)
    images = []
    for label, image in zip(labels, probabilities, strict=True):
        found, image = label[label != 255], image[label != 255]
        losses = [
            class_loss(found == c, np.where(found == c, 1 - image[:, c], image[:, c]))
            for c in np.unique(found)
        ]
        images.append(np.mean(losses) if losses else 0.0)
    return np.mean(images)


ORACLES = pytest.mark.parametrize(
    ("loss", "class_loss"), [(DiceLoss(), dice), (LovaszSoftmax(), lovasz_extension)]
)
LOSSES = pytest.mark.parametrize("loss", [DiceLoss(), LovaszSoftmax()])


def example(shape=(4, 7, 6), classes=4):
    """Labels of four images: one without class 1, one with half ignored, one with all ignored."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, shape).astype("uint8")
    labels[1][labels[1] == 1] = 0
    labels[2][rng.random(shape[1:]) < 0.5] = 255
    labels[3] = 255
    return labels, rng.standard_normal((*shape, classes)).astype("float32")


@ORACLES
@pytest.mark.parametrize("label_dtype", ["uint8", "int32"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_against_numpy(loss, class_loss, label_dtype, dtype):
    import tensorflow as tf

    labels, logits = example()
    logits = tf.cast(logits, dtype)
    value = loss(labels.astype(label_dtype), logits)
    assert value.dtype == "float32"
    assert float(value) == pytest.approx(oracle(class_loss, labels, logits), rel=1e-5)


@ORACLES
def test_gradient_against_differences(loss, class_loss):
    import tensorflow as tf

    labels, logits = example((4, 3, 2))
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(labels, variable)
    expected = np.zeros(logits.shape)
    for index in np.ndindex(logits.shape):
        step = np.zeros(logits.shape)
        step[index] = 1e-6
        up, down = (oracle(class_loss, labels, logits + sign * step) for sign in (1, -1))
        expected[index] = (up - down) / 2e-6
    np.testing.assert_allclose(tape.gradient(value, variable), expected, atol=1e-6)


@LOSSES
def test_the_batch_is_the_mean_of_its_images(loss):
    labels, logits = example()
    values = loss.call(labels, logits)
    assert values.shape == (4,)
    for index in range(4):
        alone = loss(labels[index : index + 1], logits[index : index + 1])
        assert float(values[index]) == pytest.approx(float(alone), rel=1e-5)


def test_hard_predictions_give_one_minus_the_mean_iou():
    labels, logits = example()
    predicted = logits.argmax(-1)
    expected = []
    for label, prediction in zip(labels, predicted, strict=True):
        valid = label != 255
        ious = [
            ((label == c) & (prediction == c)).sum()
            / (((label == c) | (prediction == c)) & valid).sum()
            for c in np.unique(label[valid])
        ]
        expected.append(1 - np.mean(ious) if ious else 0.0)
    hard = np.where(np.arange(4) == predicted[..., None], 1e4, -1e4).astype("float32")
    np.testing.assert_allclose(LovaszSoftmax().call(labels, hard), expected, atol=1e-5)


@LOSSES
def test_perfect_and_hopeless_predictions(loss):
    labels, _ = example()
    labels[3] = 2
    perfect = np.where(np.arange(4) == labels[..., None], 1e4, -1e4).astype("float32")
    assert float(loss(labels, perfect)) == pytest.approx(0, abs=1e-6)
    assert float(loss(labels, np.roll(perfect, 1, -1))) == pytest.approx(1)
