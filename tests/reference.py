"""The reference fixtures: golden weights and the values the reference implementations computed."""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import pathlib
import sys
from unittest import mock

import numpy as np

DATA = pathlib.Path(__file__).parent / "data"
REFERENCE = DATA / "reference"
TOLERANCE = 1e-4  # absolute, on logits and features

OFFICIAL = REFERENCE / "official"  # of DeepLab's TensorFlow code


def _module(name):
    spec = importlib.util.spec_from_file_location(name, REFERENCE / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = _module("golden_weights")
golden_tf = _module("golden_weights_tf")  # imports the other


def read(path):
    """A fixture file as a dict."""
    return json.loads((REFERENCE / path).read_text(encoding="utf-8"))


def state_dict(depth, num_classes=6):
    """Golden weights of a depth, in PyTorch layout; the arrays are shared, so read-only."""
    return dict(_golden_arrays(depth, num_classes))


@functools.lru_cache(maxsize=2)  # the largest network has 250 MB
def _golden_arrays(depth, num_classes):
    keys = read(f"state_dict_r{depth}_potsdam.json")["keys"]
    shapes = {
        name: [num_classes, *entry["shape"][1:]] if "conv_seg" in name else entry["shape"]
        for name, entry in keys.items()
    }
    arrays = golden.make_state_dict(shapes)
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def golden_model(depth, num_classes=6, **options):
    """An r<depth> model with golden weights."""
    import keras_deeplab as kd

    model = kd.build(f"r{depth}_d8", num_classes, **options)
    kd.load_state_dict(model, state_dict(depth, num_classes))
    return model


@functools.lru_cache(maxsize=1)  # those of Xception have 165 MB
def golden_variables(file):
    """Golden weights of DeepLab's TensorFlow code, by variable, for a file of their shapes."""
    return golden_tf.make_variables(read(f"official/{file}")["variables"])


@contextlib.contextmanager
def narrow_network(width, aspp_channels, output_stride):
    """Within it `narrow` is the plain network with MobileNetV2 of fewer channels."""
    from keras_deeplab.models.variants import BACKBONES, VARIANTS, Variant

    narrow = dataclasses.replace(
        BACKBONES["mobilenet_v2"],
        sizes={"width": width},
        aspp_channels=aspp_channels,
        kernel_parameters=1,
    )
    variant = Variant("narrow", output_stride, atrous=False, decoder=False)
    with mock.patch.dict(BACKBONES, narrow=narrow), mock.patch.dict(VARIANTS, narrow=variant):
        yield


def save_variables(variables, prefix):
    """Writes a checkpoint as TensorFlow 1's Saver does; returns its `.index` file."""
    import tensorflow as tf

    names = list(variables)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(variables[name]) for name in names],
    )
    return prefix.with_name(f"{prefix.name}.index")


def write_archive(path, variables):
    """Writes a `.tar.gz` as DeepLab's TensorFlow code publishes its checkpoints."""
    import tarfile
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_variables(variables, pathlib.Path(folder) / "model.ckpt")
        (pathlib.Path(folder) / "frozen_inference_graph.pb").write_bytes(b"a graph")
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            archive.add(folder, path.name.partition(".")[0])
    return path


def twin_model():
    """`efl0_d16` of two classes with the bundled ImageNet backbone, golden heads and no dropout."""
    import keras_deeplab as kd
    from keras_deeplab.checkpoints.state_dict import to_state_dict

    model = kd.build("efl0_d16", 2, weights="imagenet", dropout=0.0)
    arrays = to_state_dict(model)
    heads = {name: array.shape for name, array in arrays.items() if name.startswith("decode_head")}
    kd.load_state_dict(model, {**arrays, **golden.make_state_dict(heads)})
    return model


def twin_batches():
    """Twenty batches of four images, bright pixels of one class, a fifth of them ignored."""
    for step in range(20):
        names = [f"twin:{step}:{index}" for index in range(4)]
        images = np.stack([golden.make_image_u8(name, 80, 80, cell=20) for name in names])
        labels = (images.mean(-1) > 128).astype(np.uint8)
        labels[:, :, 64:] = 255
        yield images, labels


def twin_recipe():
    """The recipe of these batches."""
    import keras_deeplab as kd

    return kd.Recipe(
        steps=20,
        batch_size=4,
        crop=80,
        optimizer="adamw",
        learning_rate=1e-3,
        schedule="cosine",
        warmup=5,
        weight_decay=0.01,
        loss={"crossentropy": 1.0, "dice": 0.5},
        divide_by="valid",
    )
