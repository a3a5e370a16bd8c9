import keras
import numpy as np
import pytest

from keras_deeplab.training.optimizers import PolynomialDecay, SGDWithL2


def test_sgd_adds_l2_to_the_gradient_of_every_parameter():
    """PyTorch's rule in NumPy: g += l2 w; v = 0.9 v + g; w -= lr v."""
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(5), rng.standard_normal((4, 5))
    variable = keras.Variable(start.astype("float32"))
    optimizer = SGDWithL2(0.1, momentum=0.9, l2=0.05)
    weight, velocity = start.copy(), np.zeros(5)
    for gradient in gradients:
        optimizer.apply([keras.ops.array(gradient, dtype="float32")], [variable])
        velocity = 0.9 * velocity + gradient + 0.05 * weight
        weight -= 0.1 * velocity
    np.testing.assert_allclose(np.asarray(variable), weight, rtol=0, atol=1e-6)


def test_polynomial_decay():
    decay = PolynomialDecay(0.01, 100, end=1e-4)
    for step, expected in ((0, 0.01), (50, 0.0099 * 0.5**0.9 + 1e-4), (100, 1e-4), (150, 1e-4)):
        assert float(decay(step)) == pytest.approx(expected, rel=1e-5)
    warm = PolynomialDecay(0.01, 100, warmup=10)
    assert float(warm(0)) == pytest.approx(0.001, rel=1e-5)
    assert float(warm(9)) == pytest.approx(float(decay(9)), rel=1e-5)
    assert PolynomialDecay.from_config(warm.get_config()).get_config() == warm.get_config()
