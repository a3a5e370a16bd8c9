"""DeepLabV3+ in plain torch.nn, the peer of the benchmarks.

On ResNet v1c at output stride 8, and on EfficientNet-Lite0 at 16. Modules have the names of the
PyTorch reference, so that its state dicts load.
"""

import torch
from torch import nn
from torch.nn.functional import interpolate, pad

BLOCKS = {"r18_d8": (2, 2, 2, 2), "r50_d8": (3, 4, 6, 3), "r101_d8": (3, 4, 23, 3)}
# Channels: features of ASPP, decoder, auxiliary head; then those of the three heads.
BASIC, BOTTLENECK = (512, 64, 256, 128, 12, 64), (2048, 256, 1024, 512, 48, 256)
LITE0 = "efl0_d16"
LITE0_CHANNELS = (320, 24, 112, 128, 32, 64)
# Blocks, kernel size, stride, expansion, channels; at output stride 16 the last stride is replaced.
LITE0_STAGES = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 1, 6, 192), (1, 3, 1, 6, 320)),
)
LITE0_DILATED = range(12, 16)


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


class SameConv2d(nn.Conv2d):
    """Pads as TensorFlow does: with a stride, less at the top and left."""

    def forward(self, x):
        margins = []
        for side, size, stride, dilation in zip(
            x.shape[:1:-1], self.kernel_size, self.stride, self.dilation, strict=True
        ):
            total = max((-(-side // stride) - 1) * stride + (size - 1) * dilation + 1 - side, 0)
            margins += [total // 2, total - total // 2]
        if margins[0] == margins[1] and margins[2] == margins[3]:
            margin = (margins[2], margins[0])
            return nn.functional.conv2d(
                x, self.weight, None, self.stride, margin, self.dilation, self.groups
            )
        return super().forward(pad(x, margins))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, size, stride, dilation, expansion, channels):
        super().__init__()
        middle = inputs * expansion
        if expansion > 1:
            self._expand_conv = conv(inputs, middle)
            self._bn0 = nn.BatchNorm2d(middle, eps=1e-3)
        self._depthwise_conv = SameConv2d(
            middle, middle, size, stride, dilation=dilation, groups=middle, bias=False
        )
        self._bn1 = nn.BatchNorm2d(middle, eps=1e-3)
        self._project_conv = conv(middle, channels)
        self._bn2 = nn.BatchNorm2d(channels, eps=1e-3)
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == channels

    def forward(self, x):
        shortcut = x
        if self.expands:
            x = nn.functional.relu6(self._bn0(self._expand_conv(x)), inplace=True)
        x = nn.functional.relu6(self._bn1(self._depthwise_conv(x)), inplace=True)
        x = self._bn2(self._project_conv(x))
        return x + shortcut if self.adds else x


class EfficientNetLite0(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self._blocks = nn.ModuleList()
        inputs = 32
        for blocks, size, stride, expansion, channels in LITE0_STAGES:
            for index in range(blocks):
                dilation = 2 if len(self._blocks) in LITE0_DILATED else 1
                strides = stride if index == 0 else 1
                self._blocks.append(
                    InvertedResidual(inputs, size, strides, dilation, expansion, channels)
                )
                inputs = channels

    def forward(self, x):
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)), inplace=True)
        features = []
        for block in self._blocks:
            x = block(x)
            features.append(x)
        return features[2], features[10], x


class DecodeHead(nn.Module):
    def __init__(self, inputs, low_level_inputs, channels, low_level, classes, rates, dropout):
        super().__init__()
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(inputs, channels))
        self.aspp_modules = nn.ModuleList([ConvModule(inputs, channels)])
        self.aspp_modules.extend(Separable(inputs, channels, rate) for rate in rates)
        self.bottleneck = ConvModule(5 * channels, channels, 3)
        self.c1_bottleneck = ConvModule(low_level_inputs, low_level)
        self.sep_bottleneck = nn.Sequential(
            Separable(channels + low_level, channels), Separable(channels, channels)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x, low_level):
        branches = [resize(self.image_pool(x), x), *(branch(x) for branch in self.aspp_modules)]
        x = self.bottleneck(torch.cat(branches, 1))
        low_level = self.c1_bottleneck(low_level)
        x = torch.cat([resize(x, low_level), low_level], 1)
        return self.conv_seg(self.dropout(self.sep_bottleneck(x)))


class AuxiliaryHead(nn.Module):
    def __init__(self, inputs, channels, classes):
        super().__init__()
        self.convs = nn.Sequential(ConvModule(inputs, channels, 3))
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x):
        return self.conv_seg(self.convs(x))


class DeepLab(nn.Module):
    """Images `(N, 3, H, W)`, normalised, to a list of main and auxiliary logits of the same size.

    Dropout is that of the main head.
    """

    def __init__(self, variant, classes, *, auxiliary=True, dropout=0.0):
        super().__init__()
        if variant == LITE0:
            self.backbone, sizes, rates = EfficientNetLite0(), LITE0_CHANNELS, (6, 12, 18)
        else:
            self.backbone, rates = Backbone(variant), (12, 24, 36)
            sizes = BASIC if variant == "r18_d8" else BOTTLENECK
        last, first, third, channels, low_level, auxiliary_channels = sizes
        self.decode_head = DecodeHead(last, first, channels, low_level, classes, rates, dropout)
        self.auxiliary_head = None
        if auxiliary:
            self.auxiliary_head = AuxiliaryHead(third, auxiliary_channels, classes)

    def forward(self, image):
        first, third, fourth = self.backbone(image)
        logits = [self.decode_head(fourth, first)]
        if self.auxiliary_head is not None:
            logits.append(self.auxiliary_head(third))
        return [resize(x, image) for x in logits]
