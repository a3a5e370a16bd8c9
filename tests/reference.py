"""The reference fixtures: golden weights and the values the PyTorch implementation computed."""

import importlib.util
import json
import pathlib

DATA = pathlib.Path(__file__).parent / "data"
REFERENCE = DATA / "reference"
TOLERANCE = 1e-4  # absolute, on logits and features

_spec = importlib.util.spec_from_file_location("golden_weights", REFERENCE / "golden_weights.py")
golden = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(golden)


def read(path):
    """A fixture file as a dict."""
    return json.loads((REFERENCE / path).read_text(encoding="utf-8"))


def state_dict(depth, num_classes=6):
    """Golden weights of a depth, in PyTorch layout."""
    keys = read(f"state_dict_r{depth}_potsdam.json")["keys"]
    shapes = {
        name: [num_classes, *entry["shape"][1:]] if "conv_seg" in name else entry["shape"]
        for name, entry in keys.items()
    }
    return golden.make_state_dict(shapes)


def golden_model(depth, num_classes=6, **options):
    """An r<depth> model with golden weights."""
    import keras_deeplab as kd

    model = kd.build(f"r{depth}_d8", num_classes, **options)
    kd.load_state_dict(model, state_dict(depth, num_classes))
    return model
