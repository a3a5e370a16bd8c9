import keras
import numpy as np
import pytest
from reference import golden

from keras_deeplab.training.losses import (
    CombinedLoss,
    FocalCrossentropy,
    OhemCrossentropy,
    SegmentationCrossentropy,
    make_loss,
)
from keras_deeplab.training.region_losses import DiceLoss, LovaszSoftmax

NAMES = ["crossentropy", "ohem", "focal", "dice", "lovasz"]


def example(dtype="float32"):
    """Labels, 30 % of them ignored, and logits of a dtype."""
    import tensorflow as tf

    labels = golden.make_label("loss", 2, 9, 11, 3, ignore_fraction=0.3)
    logits = 3 * np.random.default_rng(0).standard_normal((2, 9, 11, 3))
    return labels, tf.cast(logits, dtype)


def log_probabilities(logits):
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def valid_pixels(labels, logits):
    """Label and label probability of the valid pixels; float64."""
    valid = labels != 255
    found = labels[valid].astype(int)
    logs = np.take_along_axis(log_probabilities(logits)[valid], found[:, None], -1)[:, 0]
    return found, np.exp(logs)


def gradient(loss, labels, logits):
    import tensorflow as tf

    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(labels, logits)
    return float(value), np.asarray(tape.gradient(value, logits), np.float64)


def oracle(labels, logits, weights=None):
    """Cross-entropy summed over valid pixels, divided by all pixels; float64."""
    logits = logits.astype(np.float64)
    log_sum = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
    total = 0.0
    for index in np.ndindex(labels.shape):
        if labels[index] != 255:
            factor = 1.0 if weights is None else weights[labels[index]]
            total += factor * (log_sum[index] - logits[index][labels[index]])
    return total / labels.size


@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 2.0)])
@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_against_numpy(weights, dtype):
    labels = golden.make_label("loss", 2, 9, 11, 3, ignore_fraction=0.3)
    logits = 3 * np.random.default_rng(0).standard_normal((2, 9, 11, 3)).astype("float32")
    loss = SegmentationCrossentropy(weights)(labels.astype(dtype), logits)
    assert float(loss) == pytest.approx(oracle(labels, logits, weights), rel=1e-5)


def test_all_ignored_is_zero_with_zero_gradients():
    import tensorflow as tf

    logits = tf.Variable(tf.random.normal((1, 4, 4, 3)) * 50)
    with tf.GradientTape() as tape:
        loss = SegmentationCrossentropy()(tf.fill((1, 4, 4), 255), logits)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, logits), np.zeros((1, 4, 4, 3)))


def test_survives_a_keras_file():
    loss = SegmentationCrossentropy((1, 2))
    config = keras.saving.serialize_keras_object(loss)
    assert keras.saving.deserialize_keras_object(config).class_weights == [1.0, 2.0]


@pytest.mark.parametrize("divide_by", ["all", "valid"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_divides_by_all_or_by_valid_pixels(dtype, divide_by):
    labels, logits = example(dtype)
    expected = oracle(labels, np.asarray(logits, np.float64), (1, 0.5, 2))
    if divide_by == "valid":
        expected *= labels.size / (labels != 255).sum()
    loss = SegmentationCrossentropy((1, 0.5, 2), divide_by=divide_by)(labels, logits)
    assert loss.dtype == "float32"
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("divide_by", ["all", "valid"])
@pytest.mark.parametrize("min_kept", [2, 40, 1000])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_ohem_keeps_the_hard_pixels(threshold, min_kept, divide_by):
    labels, logits = example()
    logits = logits / 4  # so that even the easiest pixel counts
    found, probabilities = valid_pixels(labels, logits)
    ranked = np.sort(probabilities)
    hard = probabilities < max(ranked[min(2 * min_kept, len(ranked) - 1)], threshold)
    if threshold == 0:
        assert hard.sum() == min(2 * min_kept, len(ranked) - 1)
    losses = np.array([1, 0.5, 2])[found] * -np.log(probabilities)
    expected = losses[hard].sum() / (labels.size if divide_by == "all" else len(ranked))
    loss = OhemCrossentropy(threshold, min_kept, (1, 0.5, 2), divide_by=divide_by)
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [(2, 9, 11), (1, 64, 64), (1, 512, 512)])
def test_ohem_keeps_a_share_of_any_crop(size):
    """Where no pixel is hard by itself: 100,000 of 512 x 512, and as many of 64 x 64."""
    rng = np.random.default_rng(0)
    logits = np.stack([rng.uniform(1, 3, size), np.zeros(size)], -1).astype("float32")
    _, slope = gradient(make_loss({"ohem": 1}), np.zeros(size, int), logits)
    kept = size[0] * int(100_000 / 512**2 * size[1] * size[2])
    assert abs((np.abs(slope[..., 0]) > 0).sum() - kept) <= 2  # equal probabilities
    for given in (1, 30):
        loss = make_loss({"ohem": 1}, ohem_min_kept=given)
        _, slope = gradient(loss, np.zeros(size, int), logits)
        assert abs((np.abs(slope[..., 0]) > 0).sum() - given * size[0]) <= 2


@pytest.mark.parametrize("divide_by", ["all", "valid"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_against_numpy(gamma, divide_by):
    labels, logits = example()
    found, p = valid_pixels(labels, logits)
    losses = np.array([1, 0.5, 2])[found] * 0.4 * (1 - p) ** gamma * -np.log(p)
    expected = losses.sum() / (labels.size if divide_by == "all" else len(p))
    loss = FocalCrossentropy(gamma, 0.4, (1, 0.5, 2), divide_by=divide_by)
    assert float(loss(labels, logits)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("divide_by", ["all", "valid"])
@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_have_no_influence(name, divide_by):
    labels, logits = example()
    loss = make_loss({name: 1}, divide_by=divide_by)
    value, slope = gradient(loss, labels, logits)
    ignored = (labels == 255)[..., None]
    assert np.abs(slope[~ignored[..., 0]]).max() > 0
    np.testing.assert_array_equal(slope * ignored, 0)
    other = np.where(ignored, [1e4, -1e4, 0], logits).astype("float32")
    assert float(loss(labels, other)) == pytest.approx(value, rel=1e-6)
    assert float(loss(np.full_like(labels, 255), logits)) == 0


@pytest.mark.parametrize("divide_by", ["all", "valid"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_finite_for_extreme_logits_and_without_labels(dtype, name, divide_by):
    import tensorflow as tf

    labels, logits = example()
    loss = make_loss({name: 1}, divide_by=divide_by)
    for extreme in (tf.sign(logits) * 1e4, tf.fill(logits.shape, 1e4)):
        value, slope = gradient(loss, labels, tf.cast(extreme, dtype))
        assert 0 < value < 1e5
        assert np.isfinite(slope).all()
    value, slope = gradient(loss, np.full_like(labels, 255), tf.cast(logits, dtype))
    assert value == 0
    np.testing.assert_array_equal(slope, 0)


def test_the_combined_loss_is_the_weighted_sum():
    labels, logits = example()
    loss = make_loss({"crossentropy": 1.0, "dice": 0.5, "lovasz": 2}, divide_by="valid")
    parts = [SegmentationCrossentropy(divide_by="valid"), DiceLoss(), LovaszSoftmax()]
    values, slopes = zip(*(gradient(part, labels, logits) for part in parts), strict=True)
    value, slope = gradient(loss, labels, logits)
    assert value == pytest.approx(np.dot([1, 0.5, 2], values), rel=1e-5)
    np.testing.assert_allclose(slope, np.tensordot([1, 0.5, 2], slopes, 1), atol=1e-6)


def test_compiles_for_unknown_sizes():
    import tensorflow as tf

    labels, logits = example()
    loss = make_loss(dict.fromkeys(NAMES, 1), class_weights=(1, 2, 3), divide_by="valid")
    compiled = tf.function(loss).get_concrete_function(
        tf.TensorSpec((None, None, None), tf.uint8),
        tf.TensorSpec((None, None, None, 3), tf.float32),
    )
    value = compiled(tf.constant(labels, tf.uint8), logits)
    assert float(value) == pytest.approx(float(loss(labels, logits)), rel=1e-5)


def test_names_give_the_losses():
    for name, kind in zip(
        NAMES,
        [SegmentationCrossentropy, OhemCrossentropy, FocalCrossentropy, DiceLoss, LovaszSoftmax],
        strict=True,
    ):
        assert type(make_loss({name: 1.0})) is kind
        halved = make_loss({name: 0.5})
        labels, logits = example()
        assert float(halved(labels, logits)) == pytest.approx(
            0.5 * float(make_loss({name: 1})(labels, logits)), rel=1e-6
        )


@pytest.mark.parametrize("name", ["crossentropy", "ohem", "focal"])
def test_class_weights_and_divisor_reach_the_named_loss(name):
    labels, logits = example()
    plain = make_loss({name: 1}, class_weights=(3, 3, 3))
    weighted = make_loss({name: 1}, class_weights=(6, 6, 6), divide_by="valid")
    factor = 2 * labels.size / (labels != 255).sum()
    assert float(weighted(labels, logits)) == pytest.approx(
        factor * float(plain(labels, logits)), rel=1e-5
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "is empty.*crossentropy, ohem, focal, dice, lovasz"),
        ({"jaccard": 1}, "Unknown loss 'jaccard'.*crossentropy, ohem, focal, dice, lovasz"),
        ({"dice": 0}, "weight of loss 'dice' must be a positive finite number, got 0"),
        ({"dice": float("inf")}, "got inf"),
        ({"dice": float("nan")}, "got nan"),
        ({"dice": "1"}, "got '1'"),
    ],
)
def test_wrong_specs_are_named(spec, message):
    with pytest.raises(ValueError, match=message):
        make_loss(spec)


def test_wrong_arguments_are_named():
    labels, logits = example()
    with pytest.raises(ValueError, match="for the loss ohem, not for dice, focal"):
        make_loss({"dice": 1, "focal": 1}, ohem_min_kept=10)
    with pytest.raises(ValueError, match="ohem_min_kept must be 1 or more, got 0"):
        make_loss({"ohem": 1}, ohem_min_kept=0)
    with pytest.raises(ValueError, match="'all' or 'valid' pixels, got 'kept'"):
        SegmentationCrossentropy(divide_by="kept")
    with pytest.raises(ValueError, match="has 4 factors, but the model has 3 classes"):
        SegmentationCrossentropy((1, 1, 1, 1))(labels, logits)


@pytest.mark.parametrize(
    "loss",
    [
        SegmentationCrossentropy((1, 2, 3), 1, divide_by="valid"),
        OhemCrossentropy(0.5, 20, (1, 2, 3), 1, divide_by="valid"),
        FocalCrossentropy(1.0, 0.5, (1, 2, 3), 1, divide_by="valid"),
        DiceLoss(1),
        LovaszSoftmax(1),
        CombinedLoss([FocalCrossentropy(1.0), DiceLoss()], [2, 3]),
    ],
    ids=lambda loss: loss.name,
)
def test_every_loss_survives_serialization(loss):
    labels, logits = example()
    labels = np.where(labels == 255, 0, labels)
    config = keras.saving.serialize_keras_object(loss)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert float(again(labels, logits)) == float(loss(labels, logits))
