"""What `--init` takes, and what goes with what."""

import keras
import numpy as np
import pytest

import keras_deeplab as kd
from keras_deeplab.checkpoints.pytorch.writer import write_torch_checkpoint
from keras_deeplab.checkpoints.state_dict import to_state_dict
from keras_deeplab.zoo.starting_point import build_from, find_starting_point


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One r18_d16 of three classes in every kind of file."""
    folder = tmp_path_factory.mktemp("weights")
    model = kd.build("r18_d16", 3)
    model.save_weights(folder / "a.weights.h5")
    model.save(folder / "a.keras")
    write_torch_checkpoint(folder / "a.pth", to_state_dict(model))
    return folder, model


@pytest.mark.parametrize("name", ["a.weights.h5", "a.keras", "a.pth"])
def test_a_file_starts_its_network(files, name, caplog):
    folder, model = files
    start = find_starting_point(str(folder / name), "r18_d16")
    same = build_from(start, 3)
    for one, two in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not caplog.records
    other = build_from(start, 4, aux_head=True, input_shape=(None, None, 4))
    kernel = "backbone-layer4-1-conv2"
    np.testing.assert_array_equal(
        model.get_layer(kernel).get_weights(), other.get_layer(kernel).get_weights()
    )
    assert "decode_head.conv_seg" in caplog.text and "auxiliary_head" in caplog.text


def test_the_network_comes_from_what_is_loaded(files):
    folder, _ = files
    assert find_starting_point("r18_dubai").variant == "r18_d8"
    assert find_starting_point("r18_dubai").metadata.classes.names[0] == "building"
    assert find_starting_point(str(folder / "a.keras")).variant == "r18_d16"
    assert find_starting_point("random", "r50_d8").weights is None


@pytest.mark.parametrize(
    ("init", "variant", "message"),
    [
        ("random", None, "Name the network"),
        ("r18_dubai", "r18_d16", "r18_dubai is r18_d8, not r18_d16"),
        ("r18_dubay", None, "Did you mean 'r18_dubai'"),
        ("no/such/run", None, "no/such/run"),
        ("no/such.pth", "r18_d8", r"no/such\.pth does not exist"),
        ("{folder}/a.pth", None, "does not name its network.*r18_d8, r18_d16"),
        ("{folder}/a.pth", "r50_d8", "holds the weights of r18_d8, r18_d16, not of r50_d8"),
        ("{folder}/a.keras", "r18_d8", "holds the weights of r18_d16, not of r18_d8"),
    ],
)
def test_contradictions_are_errors(files, init, variant, message):
    with pytest.raises(ValueError, match=message):
        find_starting_point(init.format(folder=files[0]), variant)


def test_a_keras_file_of_another_network_is_refused(tmp_path):
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Conv2D(2, 3)(image)).save(tmp_path / "other.keras")
    with pytest.raises(kd.CheckpointError, match=r"other\.keras"):
        find_starting_point(str(tmp_path / "other.keras"), "r18_d16")
