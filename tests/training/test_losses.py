import keras
import numpy as np
import pytest
from reference import golden

import keras_deeplab as kd
from keras_deeplab.training.losses import SegmentationCrossentropy


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


def test_the_auxiliary_loss_counts_two_fifths():
    model = kd.build("r18_d16", 3, aux_head=True, dropout=0.0)
    kd.compile_for_training(model, kd.Recipe(steps=1))
    labels = golden.make_label("aux", 2, 32, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    outputs = model(images, training=True)
    main, auxiliary = (oracle(labels, np.asarray(outputs[key])) for key in ("logits", "aux_logits"))
    loss = model.train_on_batch(images, labels)
    assert float(loss) == pytest.approx(main + 0.4 * auxiliary, rel=1e-3)
