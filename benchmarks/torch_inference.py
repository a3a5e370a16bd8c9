"""The peer of `infer.py`: logits of uint8 images in PyTorch, in the ways that PyTorch offers."""

import time

import numpy as np
import torch
from torch import nn
from torch_deeplab import DeepLab, resize

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
MATRIX = 2048  # side of the matrices whose product is timed


class Predict(nn.Module):
    """Images `(N, H, W, 3)` uint8 to main logits `(N, classes, H, W)` float32.

    Args:
        variant: Name of the network.
        weights: `.npz` file of the reference's state dict.
        layout: Memory layout of the features.
    """

    def __init__(self, variant, weights, layout):
        super().__init__()
        with np.load(weights) as arrays:
            state = {name: torch.from_numpy(arrays[name]) for name in arrays}
        self.network = DeepLab(variant, len(state["decode_head.conv_seg.bias"]))
        del self.network.auxiliary_head
        self.network.load_state_dict(state)
        self.network.to(memory_format=layout)
        self.layout = layout
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(3, 1, 1))

    def forward(self, images):
        x = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        x = x.contiguous(memory_format=self.layout)
        first, _, fourth = self.network.backbone(x)
        return resize(self.network.decode_head(fourth, first).float(), x)


class Peer:
    """A function of images `(N, H, W, 3)` to logits `(N, H, W, classes)`, both NumPy arrays.

    Args:
        variant: Name of the network.
        weights: `.npz` file of the reference's state dict.
        way: `eager` (NCHW, as mmsegmentation runs it), `channels_last`, or `compile`, which is
            torch.compile with frozen weights in channels_last, its fastest setting.
        precision: float32, or bfloat16 for PyTorch's autocast.
    """

    def __init__(self, variant, weights, way, precision):
        layout = torch.contiguous_format if way == "eager" else torch.channels_last
        self.bfloat16 = precision == "bfloat16"
        self.predict = Predict(variant, weights, layout).eval()
        if way == "compile":
            import torch._inductor.config as inductor

            inductor.freezing = True
            self.predict = torch.compile(self.predict)

    def __call__(self, images):
        # Not inference_mode: weights are frozen only in no_grad, and the others are as fast in it.
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            return self.predict(torch.from_numpy(images)).permute(0, 2, 3, 1).numpy()


def matrix_rates(repeats=10):
    """GFLOP/s of a product of square matrices by dtype, the best of several."""
    rates = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.randn(2, MATRIX, MATRIX, generator=torch.Generator().manual_seed(0)).to(dtype)
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            torch.mm(a, b)
            seconds.append(time.perf_counter() - start)
        rates[str(dtype).removeprefix("torch.")] = 2 * MATRIX**3 / min(seconds) / 1e9
    return rates
