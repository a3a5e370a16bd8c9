"""What every variant must do; a new one is covered by naming it in `test_variants.py`."""

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

    def test_parameter_counts(self, model):
        expected = read(f"state_dict_r{self.depth}_potsdam.json")
        plain = kd.build(self.variant, 6)
        for built, key in (
            (model, "num_parameters"),
            (plain, "num_parameters_without_auxiliary_head"),
        ):
            count = sum(int(np.prod(weight.shape)) for weight in built.trainable_weights)
            assert count == expected[key]

    def test_dilations(self, model):
        found = tuple(
            layer.dilation_rate[0]
            for layer in model.layers
            if layer.name.startswith(("backbone-layer3", "backbone-layer4"))
            and layer.name.endswith("conv1" if self.depth == 18 else "conv2")
        )
        assert found == self.dilations

    @pytest.mark.parametrize("aux_head", [False, True])
    def test_variables_keep_path_and_shape(self, aux_head, tmp_path):
        """Weights files address variables by path: a changed path breaks every published file."""
        import h5py

        model = kd.build(self.variant, 6, aux_head=aux_head)
        model.save_weights(tmp_path / "w.weights.h5")
        found = []
        with h5py.File(tmp_path / "w.weights.h5") as file:
            file.visititems(
                lambda path, item: (
                    found.append(f"{path} {item.parent.attrs['name']} {list(item.shape)}")
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
        pinned = DATA / "variables" / f"r{self.depth}{'_aux' if aux_head else ''}.txt"
        assert sorted(found) == pinned.read_text().splitlines()

    def test_odd_sizes(self, model):
        image = golden.make_image_u8("odd", 33, 47)[np.newaxis]
        outputs = model(image, training=False)
        assert outputs["logits"].shape == outputs["aux_logits"].shape == (1, 33, 47, 6)
        assert np.isfinite(np.asarray(outputs["logits"])).all()
