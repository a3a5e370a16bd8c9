"""The training step of the tiny network in NumPy, float64, as PyTorch's modules define it.

Variables are dicts of arrays by the paths of `tiny.tiny_model`.
"""

import numpy as np

from keras_deeplab.models.inputs import MEAN, STD
from keras_deeplab.models.layers import BN_EPSILON

PYTORCH_MOMENTUM = 0.1  # of batch norm: the part that is replaced
BLOCKS = ("backbone-stem", "backbone-layer1")
HEADS = {"auxiliary_head-conv_seg": ("backbone-stem", 0.4), "decode_head-conv_seg": (BLOCKS[1], 1)}


def windows(x):
    """`(N, H, W, C, 3, 3)`: the surroundings of every pixel, zero beyond the border."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))


def convolve(x, kernel):
    return np.einsum("nhwcij,ijco->nhwo", windows(x), kernel, optimize=True)


class Network:
    """Loss, gradients and batch statistics of one batch.

    Attributes:
        loss: Main loss plus 0.4 times the auxiliary one.
        gradients: Of the loss, by path.
        statistics: Mean and unbiased variance of the batch, by path of the moving ones.
        nearest: The value closest to 0 of those that the ReLUs see.
    """

    def __init__(self, variables, images, labels):
        self.variables = variables
        self.loss, self.nearest = 0.0, np.inf
        self.gradients, self.statistics, self._seen = {}, {}, {}
        x = (images - np.array(MEAN)) / np.array(STD)
        for name in BLOCKS:
            x = self._block(x, name)
        slopes = dict.fromkeys(BLOCKS, 0.0)
        for head, (block, weight) in HEADS.items():
            slopes[block] = slopes[block] + self._head(head, block, labels, weight)
        for name in reversed(BLOCKS):
            slope = self._block_gradients(slopes[name], name)
            if name != BLOCKS[0]:
                slopes[BLOCKS[0]] = slopes[BLOCKS[0]] + slope

    def _block(self, x, name):
        raw = convolve(x, self.variables[f"{name}-conv/kernel"])
        mean, variance = raw.mean((0, 1, 2)), raw.var((0, 1, 2))
        count = raw[..., 0].size
        self.statistics[f"{name}-bn/moving_mean"] = mean
        self.statistics[f"{name}-bn/moving_variance"] = variance * count / (count - 1)
        scale = np.sqrt(variance + BN_EPSILON)
        normal = (raw - mean) / scale
        before = normal * self.variables[f"{name}-bn/gamma"] + self.variables[f"{name}-bn/beta"]
        self.nearest = min(self.nearest, np.abs(before).min())
        self._seen[name] = x, scale, normal, before
        return np.maximum(before, 0)

    def _head(self, name, block, labels, weight):
        """Adds the loss of a head, over all pixels; gives its gradient by the head's features."""
        features = np.maximum(self._seen[block][3], 0)
        kernel, bias = (self.variables[f"{name}/{part}"] for part in ("kernel", "bias"))
        scores = np.exp(features @ kernel[0, 0] + bias)
        probabilities = scores / scores.sum(-1, keepdims=True)
        truth = labels[..., None] == np.arange(len(bias))  # nothing where 255
        valid = truth.any(-1, keepdims=True)
        self.loss -= weight * np.log(probabilities[truth]).sum() / labels.size
        slope = weight * np.where(valid, probabilities - truth, 0) / labels.size
        self.gradients[f"{name}/kernel"] = np.einsum("nhwc,nhwo->co", features, slope)[None, None]
        self.gradients[f"{name}/bias"] = slope.sum((0, 1, 2))
        return slope @ kernel[0, 0].T

    def _block_gradients(self, slope, name):
        """Notes the gradients of a block; gives that by its input."""
        x, scale, normal, before = self._seen[name]
        slope = slope * (before > 0)
        self.gradients[f"{name}-bn/beta"] = slope.sum((0, 1, 2))
        self.gradients[f"{name}-bn/gamma"] = (slope * normal).sum((0, 1, 2))
        slope = slope * self.variables[f"{name}-bn/gamma"]
        shared = slope.mean((0, 1, 2)) + normal * (slope * normal).mean((0, 1, 2))
        slope = (slope - shared) / scale
        self.gradients[f"{name}-conv/kernel"] = np.einsum(
            "nhwcij,nhwo->ijco", windows(x), slope, optimize=True
        )
        kernel = self.variables[f"{name}-conv/kernel"]
        return convolve(slope, kernel[::-1, ::-1].swapaxes(2, 3))


def poly(step, steps, first, last):
    """Learning rate of a step, power 0.9."""
    return (first - last) * (1 - step / steps) ** 0.9 + last


def train_step(variables, velocities, network, rate, *, momentum=0.9, l2):
    """PyTorch's SGD on every parameter, in place; batch norm's moving statistics besides."""
    for path, gradient in network.gradients.items():
        velocities[path] = momentum * velocities[path] + gradient + l2 * variables[path]
        variables[path] = variables[path] - rate * velocities[path]
    for path, new in network.statistics.items():
        kept = 1 - PYTORCH_MOMENTUM
        variables[path] = kept * variables[path] + PYTORCH_MOMENTUM * new
