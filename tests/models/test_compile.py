"""Stock `compile`, `fit` and `evaluate` of a network with an auxiliary head, against NumPy."""

import keras
import numpy as np
import pytest
from reference import golden, golden_model

IMAGES = golden.make_image_u8("compile", 66, 47).reshape(2, 33, 47, 3)
LABELS = golden.make_label("compile", 2, 33, 47, 6).astype("uint8") % 6  # no ignored pixels
FROM_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BY_NAME = "sparse_categorical_crossentropy"


def probabilities(model, key, training=False):
    """Softmax in NumPy, unless the network ends in it."""
    outputs = np.asarray(model(IMAGES, training=training)[key], "float64")
    if model.layers[-1].name.endswith("activation"):
        return outputs
    powers = np.exp(outputs - outputs.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def crossentropy(values):
    return -np.log(np.take_along_axis(values, LABELS[..., np.newaxis].astype(int), -1)).mean()


def expected_loss(model, training=False):
    main, auxiliary = (
        crossentropy(probabilities(model, key, training)) for key in ("logits", "aux_logits")
    )
    assert abs(main - auxiliary) > 0.1
    return main + 0.4 * auxiliary


@pytest.mark.parametrize(
    ("loss", "same_loss", "activation"),
    [(FROM_LOGITS, [FROM_LOGITS], None), (BY_NAME, "crossentropy", "softmax")],
)
def test_losses_of_both_heads_and_metrics_of_the_main_one(loss, same_loss, activation):
    model = golden_model(18, output_stride=16, aux_head=True, dropout=0.0, activation=activation)
    model.compile("sgd", same_loss)
    assert model.evaluate(IMAGES, LABELS, verbose=0) == pytest.approx(
        expected_loss(model), rel=1e-4
    )
    iou = keras.metrics.MeanIoU(6, sparse_y_pred=False, name="iou")
    model.compile(keras.optimizers.SGD(0.01), loss, metrics=["accuracy", iou])
    scores = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert scores.keys() == {"loss", "accuracy", "iou"}
    assert scores["loss"] == pytest.approx(expected_loss(model), rel=1e-4)
    predicted = probabilities(model, "logits").argmax(-1)
    assert scores["accuracy"] == pytest.approx((predicted == LABELS).mean(), abs=1e-4)
    ious = [
        ((predicted == k) & mask).sum() / ((predicted == k) | mask).sum()
        for k, mask in enumerate(np.arange(6).reshape(6, 1, 1, 1) == LABELS)
    ]
    assert scores["iou"] == pytest.approx(np.mean(ious), abs=1e-4)

    in_training = expected_loss(model, training=True)
    before = np.asarray(model.get_layer("auxiliary_head-conv_seg").kernel)
    history = model.fit(IMAGES, LABELS, batch_size=2, verbose=0).history
    assert history["loss"][0] == pytest.approx(in_training, rel=1e-4)
    assert np.abs(np.asarray(model.get_layer("auxiliary_head-conv_seg").kernel) - before).max() > 0


def test_regularizers_count_once():
    model = golden_model(18, output_stride=16, aux_head=True)
    kernel = model.get_layer("decode_head-conv_seg").kernel
    kernel.regularizer = keras.regularizers.L2(0.5)
    model.compile("sgd", FROM_LOGITS)
    penalty = 0.5 * (np.asarray(kernel) ** 2).sum()
    assert penalty > 0.1
    loss = model.evaluate(IMAGES, LABELS, verbose=0)
    assert loss == pytest.approx(expected_loss(model) + penalty, rel=1e-4)


def test_labels_by_output_name_are_keras_own_matter():
    model = golden_model(18, output_stride=16, aux_head=True)
    losses = {"logits": FROM_LOGITS, "aux_logits": FROM_LOGITS}
    labels = {"logits": LABELS, "aux_logits": LABELS}
    model.compile("sgd", losses, loss_weights={"logits": 1.0, "aux_logits": 0.4})
    scores = model.evaluate(IMAGES, labels, verbose=0, return_dict=True)
    assert scores["loss"] == pytest.approx(expected_loss(model), rel=1e-4)
    model.compile("sgd", losses)
    with pytest.raises(ValueError, match="dict of logits, aux_logits, but there is one label map"):
        model.evaluate(IMAGES, LABELS, verbose=0)
