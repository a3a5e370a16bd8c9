"""What every variant must do; a new one is covered by naming it in `test_variants.py`."""

import math

import h5py
import numpy as np
import pytest
from reference import DATA, golden, read

import keras_deeplab as kd
from keras_deeplab.models.variants import get_backbone, has_auxiliary_head, stage_prefixes

# Variables of DeepLab's TensorFlow code, with their number of classes.
OFFICIAL = {
    "x65": ("tf_variables_xception_65_21.json", 21),
    "mnv2": ("tf_variables_mobilenet_v2_v3plus_21.json", 21),
    "mnv2_plain": ("tf_variables_mobilenet_v2_21.json", 21),
    "mnv2_decoder": ("tf_variables_mobilenet_v2_decoder_151.json", 151),
}


class VariantTester:
    """Set `variant`, `network` and the dilations of the spatial convolutions of stages 3 and 4.

    `network` names the file of pinned variables, `spatial` ends the names of these convolutions.
    """

    variant: str
    network: str
    spatial: str
    dilations: tuple

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        return kd.build(cls.variant, 6, aux_head=has_auxiliary_head(cls.variant))

    def test_variables(self, model, tmp_path):
        check_variables(model, self.network, tmp_path, has_auxiliary_head(self.variant))

    def test_dilations(self, model):
        stages = stage_prefixes(self.variant)
        found = tuple(
            layer.dilation_rate[0]
            for layer in model.layers
            if layer.name.startswith((*stages["layer3"], *stages["layer4"]))
            and layer.name.endswith(self.spatial)
        )
        assert found == self.dilations

    def test_table_of_backbones(self, model):
        """Every layer of the backbone is in one stage; the kernels have the noted size."""
        layers = [x for x in model.layers if x.weights and x.name.startswith("backbone-")]
        parts = [
            {x.name for x in layers if x.name.startswith(prefixes)}
            for prefixes in stage_prefixes(self.variant).values()
        ]
        assert all(parts) and sum(map(len, parts)) == len(set().union(*parts)) == len(layers)
        backbone = get_backbone(self.variant)
        kernels = {
            x.name.replace("-", "."): math.prod(x.kernel.shape)
            for x in layers
            if hasattr(x, "kernel")
        }
        del kernels[f"backbone.{backbone.first_convolution}"]
        assert sum(kernels.values()) == backbone.kernel_parameters

    def test_odd_sizes(self, model):
        image = golden.make_image_u8("odd", 33, 47)[np.newaxis]
        outputs = model(image, training=False)
        if not has_auxiliary_head(self.variant):
            outputs = {"logits": outputs}
        assert {tuple(x.shape) for x in outputs.values()} == {(1, 33, 47, 6)}
        assert np.isfinite(np.asarray(outputs["logits"])).all()


def check_variables(model, network, folder, aux_head):
    """The number of parameters is the reference's; path and shape of each variable are pinned.

    Weights files address variables by path: a changed path breaks every published file.
    """
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count == number_of_parameters(network, aux_head)
    model.save_weights(folder / "w.weights.h5")
    found = []

    def note(path, item):
        if isinstance(item, h5py.Dataset):
            found.append(f"{path} {item.parent.attrs['name']} {list(item.shape)}")

    with h5py.File(folder / "w.weights.h5") as file:
        file.visititems(note)
    pinned = DATA / "variables" / f"{network}{'_aux' if aux_head else ''}.txt"
    assert sorted(found) == pinned.read_text().splitlines()


def number_of_parameters(network, aux_head):
    """That of the reference for 6 classes; of EfficientNet-Lite0 the sum of the parts."""
    if network == "efl0":
        # The package's 4,652,008 without classifier (1,281,000) and 1x1 convolution (412,160).
        backbone = 4_652_008 - 1_281_000 - 412_160
        branches = 2 * (320 * 128 + 256) + 3 * (320 * 9 + 640 + 320 * 128 + 256)
        bottleneck = 9 * 640 * 128 + 256 + 24 * 32 + 64
        decoder = sum(9 * x + 2 * x + x * 128 + 256 for x in (160, 128)) + 128 * 6 + 6
        auxiliary = 9 * 112 * 64 + 128 + 64 * 6 + 6
        return backbone + branches + bottleneck + decoder + aux_head * auxiliary
    if network in OFFICIAL:
        file, classes = OFFICIAL[network]
        return read(f"official/{file}")["num_trainable_parameters"] - 257 * (classes - 6)
    key = "num_parameters" if aux_head else "num_parameters_without_auxiliary_head"
    return read(f"state_dict_{network}_potsdam.json")[key]
