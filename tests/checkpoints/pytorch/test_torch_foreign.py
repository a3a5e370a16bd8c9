"""State dicts of other libraries' DeepLab networks: one sentence instead of hundreds of names."""

import numpy as np
import pytest

import keras_deeplab as kd
from keras_deeplab.checkpoints.inspection import describe_weights
from keras_deeplab.checkpoints.pytorch.foreign import refuse_foreign
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint

# Some names of each network, as its library writes them.
TORCHVISION = ("backbone.conv1.weight", "classifier.0.convs.1.0.weight", "classifier.4.weight")
SMP_PLUS = ("encoder.conv1.weight", "decoder.aspp.0.convs.0.0.weight", "decoder.block1.0.weight")
SMP = ("encoder.conv1.weight", "decoder.aspp.convs.0.0.weight", "segmentation_head.0.weight")
OLD_SMP = ("encoder.conv1.weight", "decoder.0.convs.0.0.weight", "segmentation_head.0.weight")


@pytest.mark.parametrize(
    "names, network, prefix",
    [
        (TORCHVISION, "torchvision's DeepLabV3,", ""),
        (TORCHVISION, "torchvision's DeepLabV3,", "module.net."),
        (SMP_PLUS, r"segmentation_models.pytorch's DeepLabV3\+,", ""),
        (SMP, "segmentation_models.pytorch's DeepLabV3,", "model."),
        (OLD_SMP, "segmentation_models.pytorch's DeepLabV3,", ""),
    ],
)
def test_networks_are_named(names, network, prefix):
    with pytest.raises(kd.CheckpointError, match=f"this is {network} another network"):
        refuse_foreign([f"{prefix}{name}" for name in names])


def test_our_names_are_not_foreign():
    refuse_foreign(["backbone.stem.0.weight", "decode_head.aspp_modules.0.conv.weight"])
    refuse_foreign(["encoder.conv1.weight", "decoder.up.weight"])


def test_files(tmp_path):
    path = tmp_path / "smp.pth"
    write_torch_checkpoint(path, {name: np.zeros(3, "float32") for name in SMP_PLUS}, {})
    for use in (describe_weights, lambda path: kd.build("r18_d16", 2, weights=path)):
        with pytest.raises(kd.CheckpointError, match=r"smp\.pth: this is .* ImageNet or zoo"):
            use(path)
