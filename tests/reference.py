"""The reference fixtures: golden weights and the values the PyTorch implementation computed."""

import functools
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
