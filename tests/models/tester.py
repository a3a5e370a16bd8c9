"""What every variant must do; a new one is covered by naming it in `test_variants.py`."""

import h5py
import numpy as np
import pytest
from reference import DATA, golden, read

import keras_deeplab as kd


class VariantTester:
    """Set `variant`, `depth` and the dilations of the 3x3 convolutions of stages 3 and 4."""

    variant: str
    depth: int
    dilations: tuple

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        return kd.build(cls.variant, 6, aux_head=True)

    def test_variables(self, model, tmp_path):
        check_variables(model, self.depth, tmp_path)

    def test_dilations(self, model):
        found = tuple(
            layer.dilation_rate[0]
            for layer in model.layers
            if layer.name.startswith(("backbone-layer3", "backbone-layer4"))
            and layer.name.endswith("conv1" if self.depth == 18 else "conv2")
        )
        assert found == self.dilations

    def test_odd_sizes(self, model):
        image = golden.make_image_u8("odd", 33, 47)[np.newaxis]
        outputs = model(image, training=False)
        assert outputs["logits"].shape == outputs["aux_logits"].shape == (1, 33, 47, 6)
        assert np.isfinite(np.asarray(outputs["logits"])).all()


def check_variables(model, depth, folder, aux_head=True):
    """The number of parameters is the reference's; path and shape of each variable are pinned.

    Weights files address variables by path: a changed path breaks every published file.
    """
    expected = read(f"state_dict_r{depth}_potsdam.json")
    key = "num_parameters" if aux_head else "num_parameters_without_auxiliary_head"
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count == expected[key]
    model.save_weights(folder / "w.weights.h5")
    found = []

    def note(path, item):
        if isinstance(item, h5py.Dataset):
            found.append(f"{path} {item.parent.attrs['name']} {list(item.shape)}")

    with h5py.File(folder / "w.weights.h5") as file:
        file.visititems(note)
    pinned = DATA / "variables" / f"r{depth}{'_aux' if aux_head else ''}.txt"
    assert sorted(found) == pinned.read_text().splitlines()
