"""DeepLabV3+ on ResNet v1c at output stride 8 in plain torch.nn, the peer of the benchmarks.

Modules have the names of the PyTorch reference, so that its state dicts load.
"""

import torch
from torch import nn
from torch.nn.functional import interpolate

BLOCKS = {"r18_d8": (2, 2, 2, 2), "r50_d8": (3, 4, 6, 3), "r101_d8": (3, 4, 23, 3)}
BASIC, BOTTLENECK = (128, 12, 64), (512, 48, 256)  # channels: decoder, low-level, auxiliary


def resize(x, like):
    return interpolate(x, like.shape[2:], mode="bilinear", align_corners=False)


def conv(inputs, outputs, size=1, stride=1, dilation=1, groups=1):
    padding = dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False)


class ConvModule(nn.Module):
    def __init__(self, inputs, outputs, size=1, **options):
        super().__init__()
        self.conv = conv(inputs, outputs, size, **options)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return nn.functional.relu(self.bn(self.conv(x)), inplace=True)


class Separable(nn.Sequential):
    def __init__(self, inputs, outputs, dilation=1):
        super().__init__()
        depthwise = ConvModule(inputs, inputs, 3, dilation=dilation, groups=inputs)
        self.add_module("depthwise_conv", depthwise)
        self.add_module("pointwise_conv", ConvModule(inputs, outputs))


class Block(nn.Module):
    def __init__(self, inputs, channels, bottleneck, stride, dilation):
        super().__init__()
        outputs = channels * 4 if bottleneck else channels
        middle = {"stride": stride, "dilation": dilation}
        convs = (
            [(inputs, channels), (channels, channels, 3), (channels, outputs)]
            if bottleneck
            else [(inputs, channels, 3), (channels, channels, 3)]
        )
        self.last = len(convs)
        for index, sizes in enumerate(convs, start=1):
            options = middle if index == self.last - 1 else {}
            self.add_module(f"conv{index}", conv(*sizes, **options))
            self.add_module(f"bn{index}", nn.BatchNorm2d(sizes[1]))
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                conv(inputs, outputs, stride=stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        for index in range(1, self.last + 1):
            x = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(x))
            if index < self.last:
                x = nn.functional.relu(x, inplace=True)
        return nn.functional.relu(x + shortcut, inplace=True)


class Backbone(nn.Module):
    def __init__(self, variant):
        super().__init__()
        stem = []
        for inputs, outputs, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 1)):
            stem += [conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), nn.ReLU(True)]
        self.stem = nn.Sequential(*stem)
        bottleneck, inputs = variant != "r18_d8", 64
        for stage, (blocks, dilation) in enumerate(zip(BLOCKS[variant], (1, 1, 2, 4), strict=True)):
            channels, layer = 64 * 2**stage, nn.Sequential()
            for index in range(blocks):
                stride = 2 if stage == 1 and index == 0 else 1
                rate = max(dilation // 2, 1) if index == 0 else dilation
                layer.append(Block(inputs, channels, bottleneck, stride, rate))
                inputs = channels * 4 if bottleneck else channels
            self.add_module(f"layer{stage + 1}", layer)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.stem(x), 3, 2, 1)
        first = self.layer1(x)
        third = self.layer3(self.layer2(first))
        return first, third, self.layer4(third)


class DecodeHead(nn.Module):
    def __init__(self, inputs, low_level_inputs, channels, low_level, classes):
        super().__init__()
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(inputs, channels))
        self.aspp_modules = nn.ModuleList([ConvModule(inputs, channels)])
        self.aspp_modules.extend(Separable(inputs, channels, rate) for rate in (12, 24, 36))
        self.bottleneck = ConvModule(5 * channels, channels, 3)
        self.c1_bottleneck = ConvModule(low_level_inputs, low_level)
        self.sep_bottleneck = nn.Sequential(
            Separable(channels + low_level, channels), Separable(channels, channels)
        )
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x, low_level):
        branches = [resize(self.image_pool(x), x), *(branch(x) for branch in self.aspp_modules)]
        x = self.bottleneck(torch.cat(branches, 1))
        low_level = self.c1_bottleneck(low_level)
        x = torch.cat([resize(x, low_level), low_level], 1)
        return self.conv_seg(self.sep_bottleneck(x))


class AuxiliaryHead(nn.Module):
    def __init__(self, inputs, channels, classes):
        super().__init__()
        self.convs = nn.Sequential(ConvModule(inputs, channels, 3))
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x):
        return self.conv_seg(self.convs(x))


class DeepLab(nn.Module):
    """Images `(N, 3, H, W)`, normalised, to main and auxiliary logits of the same size."""

    def __init__(self, variant, classes):
        super().__init__()
        channels, low_level, auxiliary = BASIC if variant == "r18_d8" else BOTTLENECK
        expansion = 1 if variant == "r18_d8" else 4
        self.backbone = Backbone(variant)
        self.decode_head = DecodeHead(512 * expansion, 64 * expansion, channels, low_level, classes)
        self.auxiliary_head = AuxiliaryHead(256 * expansion, auxiliary, classes)

    def forward(self, image):
        first, third, fourth = self.backbone(image)
        logits = self.decode_head(fourth, first), self.auxiliary_head(third)
        return [resize(x, image) for x in logits]
