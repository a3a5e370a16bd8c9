"""The published test protocol in PyTorch, as mmsegmentation runs it: the peer of `evaluate.py`."""

import time

import cv2
import numpy as np
import torch
from torch_deeplab import DeepLab, resize

IGNORE = 255
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Peer:
    """Evaluates images one by one.

    Args:
        weights: `.npz` file of the reference's state dict.
        image: An image to choose the memory layout with, `(H, W, 3)` uint8.
        classes: Number of classes.
        dtype: float32, or bfloat16 for PyTorch's autocast.
    """

    def __init__(self, weights, image, classes, dtype):
        self.bfloat16 = dtype == "bfloat16"
        self.network = DeepLab("r18_d8", classes).eval()
        del self.network.auxiliary_head
        with np.load(weights) as arrays:
            self.network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays})
        self.areas = torch.zeros(3, classes)  # intersection, prediction, label
        self.choose_layout(image)

    def choose_layout(self, image):
        """Chooses the memory layout in which the network is faster."""
        seconds = {torch.contiguous_format: [], torch.channels_last: []}
        for _ in range(3):
            for layout, figures in seconds.items():
                self.layout = layout
                self.network.to(memory_format=layout)
                start = time.perf_counter()
                self.view_logits(image, 1.0, False)
                figures.append(time.perf_counter() - start)
        self.layout = min(seconds, key=lambda layout: min(seconds[layout]))
        self.network.to(memory_format=self.layout)

    def view_logits(self, image, scale, mirrored):
        """Logits `(1, classes, H, W)` of one view at the size of the image."""
        size = [int(side * scale + 0.5) for side in image.shape[1::-1]]
        view = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        if mirrored:
            view = np.ascontiguousarray(view[:, ::-1])
        x = torch.from_numpy(view).permute(2, 0, 1).float()[None]
        x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        x = x.contiguous(memory_format=self.layout)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            first, _, fourth = self.network.backbone(x)
            logits = resize(self.network.decode_head(fourth, first), x).float()
            logits = logits.flip(3) if mirrored else logits
            return resize(logits, torch.empty(1, 1, *image.shape[:2]))

    def run(self, image, label, scales, flip):
        """Predicts an image, counts it, and returns its classes `(H, W)`."""
        total = 0
        for scale in scales:
            for mirrored in (False, True)[: 1 + flip]:
                total = total + self.view_logits(image, scale, mirrored)[0].softmax(0)
        classes = total.argmax(0)
        label = torch.from_numpy(label)
        predicted, label = classes[label != IGNORE].float(), label[label != IGNORE].float()
        for area, values in zip(
            self.areas, (predicted[predicted == label], predicted, label), strict=True
        ):
            area += torch.histc(values, len(area), 0, len(area) - 1)
        return classes.numpy()

    def miou(self):
        """Mean IoU of all images so far."""
        intersect, predicted, label = self.areas.double()
        return (intersect / (predicted + label - intersect)).nanmean().item()
