import zipfile

import h5py
import numpy as np
import pytest
from reference import golden, golden_model
from tiny import tiny_model

import keras_deeplab as kd
from keras_deeplab.checkpoints.keras_files import save_keras_weights

IMAGE = golden.make_image_u8("keras files", 64, 64)[np.newaxis]


@pytest.fixture(scope="module")
def trained():
    return golden_model(18, aux_head=True)


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    trained.save_weights(folder / "stock.weights.h5")
    trained.save(folder / "stock.keras")
    save_keras_weights(trained, folder / "ours.weights.h5")
    save_keras_weights(trained, folder / "half.weights.h5", dtype="float16")
    return folder


@pytest.fixture(scope="module")
def with_aux_head():
    return kd.build("r18_d8", 6, aux_head=True)


@pytest.fixture(scope="module")
def without_aux_head():
    return kd.build("r18_d8", 6)


def cleared(model):
    """The model with zeros for weights: what it has afterwards, it got from a file."""
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape))
    return model


def logits(model):
    outputs = model(IMAGE, training=False)
    return np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs)


@pytest.mark.parametrize("name", ["stock.weights.h5", "stock.keras", "ours.weights.h5"])
def test_loads_with_and_without_auxiliary_head(
    trained, files, with_aux_head, without_aux_head, name
):
    for model in (with_aux_head, without_aux_head):
        kd.load_weights(cleared(model), files / name)
        for layer in model.layers:
            expected = trained.get_layer(layer.name).get_weights()
            for one, two in zip(layer.get_weights(), expected, strict=True):
                np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(logits(model), logits(trained), atol=1e-5)


def test_weights_of_four_channels_load_unchanged(tmp_path):
    model = kd.build("r18_d16", 2, input_shape=(None, None, 4))
    before = model.get_weights()
    save_keras_weights(model, tmp_path / "four.weights.h5")
    kd.load_weights(cleared(model), tmp_path / "four.weights.h5")
    for one, other in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_stock_keras_reads_what_we_write(trained, files, with_aux_head):
    model = with_aux_head
    for name, tolerance in (("ours.weights.h5", 1e-5), ("half.weights.h5", 0.02)):
        cleared(model).load_weights(files / name)
        np.testing.assert_allclose(logits(model), logits(trained), atol=tolerance)


def test_float16_halves_the_file_and_rounds_each_value(trained, files, without_aux_head):
    half, full = (files / f"{name}.weights.h5" for name in ("half", "ours"))
    assert half.stat().st_size < 0.55 * full.stat().st_size
    model = cleared(without_aux_head)
    kd.load_weights(model, half)
    kernel = np.asarray(trained.get_layer("backbone-layer4-1-conv2").kernel)
    loaded = np.asarray(model.get_layer("backbone-layer4-1-conv2").kernel)
    np.testing.assert_array_equal(loaded, kernel.astype("float16").astype("float32"))


def test_an_optimizer_in_the_file_is_no_obstacle(tmp_path):
    model = tiny_model()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "training.weights.h5")
    before = model.get_weights()
    kd.load_weights(cleared(model), tmp_path / "training.weights.h5")
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def edit(files, tmp_path, change):
    path = tmp_path / "edited.weights.h5"
    path.write_bytes((files / "ours.weights.h5").read_bytes())
    with h5py.File(path, "a") as file:
        change(file["layers"])
    return path


def _rename(layers):
    layers["conv2d_3/vars"].attrs["name"] = "backbone-layer9-0-conv1"


def _drop(layers):
    del layers["conv2d_3"]


def _reshape(layers):
    del layers["conv2d_3/vars/0"]
    layers["conv2d_3/vars/0"] = np.zeros((3, 3, 1, 64), "float32")


def _external_link(layers):
    del layers["conv2d_3/vars/0"]
    layers["conv2d_3/vars/0"] = h5py.ExternalLink("/etc/hostname", "/x")


def _soft_link(layers):
    del layers["conv2d_3/vars/0"]
    layers["conv2d_3/vars/0"] = h5py.SoftLink("/layers/conv2d_4/vars/0")


def _external_storage(layers):
    variables = layers["conv2d_3/vars"]
    shape = variables["0"].shape
    del variables["0"]
    size = int(np.prod(shape)) * 4
    variables.create_dataset("0", shape, "float32", external=[("/etc/hostname", 0, size)])


def _nan(layers):
    layers["conv2d_3/vars/0"][0, 0, 0, 0] = np.nan


def _text(layers):
    del layers["conv2d_3/vars/0"]
    layers["conv2d_3/vars/0"] = "text"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_rename, "missing: backbone-layer1-0-conv1/0; 1 unexpected: backbone-layer9-0-conv1/0"),
        (_drop, "1 missing"),
        (_reshape, r"wrong shape: .*\(3, 3, 1, 64\), expected \(3, 3, 64, 64\)"),
        (_external_link, "does not contain the HDF5 dataset"),
        (_soft_link, "does not contain the HDF5 dataset"),
        (_external_storage, "not a plain numeric array"),
        (_text, "not a plain numeric array"),
        (_nan, "NaN or infinity in 1 of .* arrays: backbone-layer1-0-conv1/0"),
    ],
)
def test_altered_files_are_refused_and_nothing_changes(
    files, without_aux_head, tmp_path, change, message
):
    model = cleared(without_aux_head)
    path = edit(files, tmp_path, change)
    with pytest.raises(kd.CheckpointError, match=message):
        kd.load_weights(model, path)
    assert not any(np.any(variable) for variable in model.weights)


def test_unreadable_files(files, without_aux_head, tmp_path):
    model = without_aux_head
    with pytest.raises(kd.CheckpointError, match="does not exist"):
        kd.load_weights(model, tmp_path / "none.weights.h5")
    cases = {
        "page.weights.h5": b"<html>not found</html>",
        "page.keras": b"<html>not found</html>",
        "cut.weights.h5": (files / "ours.weights.h5").read_bytes()[:100_000],
        "weights.bin": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(kd.CheckpointError, match=name):
            kd.load_weights(model, tmp_path / name)


def test_a_bomb_in_a_keras_file_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(10_000_000))
    with pytest.raises(kd.CheckpointError, match="unpacks to 10000000 bytes"):
        kd.load_weights(tiny_model(), path)
