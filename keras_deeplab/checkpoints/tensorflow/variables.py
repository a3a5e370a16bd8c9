"""The variables of DeepLab's TensorFlow code and those of a model, by rule.

Layers of these backbones are named by the path of their variables, with `-` for `/` and `backbone`
for the scope of the network. The heads have the names that they have with every backbone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

import keras
import numpy as np

from keras_deeplab.checkpoints.errors import CheckpointError
from keras_deeplab.checkpoints.matching import Match, Target, listed
from keras_deeplab.models.variants import BACKBONES

# Module of the head -> path of its variables.
_HEAD = {
    "image_pool.1": "image_pooling",
    "aspp_modules.0": "aspp0",
    **{
        f"aspp_modules.{branch}.{kind}_conv": f"aspp{branch}_{kind}"
        for branch in (1, 2, 3)
        for kind in ("depthwise", "pointwise")
    },
    "bottleneck": "concat_projection",
    "c1_bottleneck": "decoder/feature_projection0",
    **{
        f"sep_bottleneck.{index}.{kind}_conv": f"decoder/decoder_conv{index}_{kind}"
        for index in (0, 1)
        for kind in ("depthwise", "pointwise")
    },
    "conv_seg": "logits/semantic",
}
_MODULES = {path: module for module, path in _HEAD.items()}
_NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")
_KERNELS = {keras.layers.DepthwiseConv2D: "depthwise_weights", keras.layers.Conv2D: "weights"}
# The classifier of an ImageNet network, after its scope.
_IMAGENET_CLASSIFIER = re.compile(r"(?:logits|Logits|Conv_1)/")


def scope_of(model: keras.Model) -> str | None:
    """Scope of the variables of a model's backbone in TensorFlow; `None` for another backbone."""
    names = {layer.name for layer in model.layers}
    for backbone in BACKBONES.values():
        first = f"backbone.{backbone.first_convolution}".replace(".", "-")
        if backbone.scope is not None and first in names:
            return backbone.scope
    return None


def scope_in(names: Iterable[str]) -> str | None:
    """Scope of the backbone among names of variables; `None` where there is none that is known."""
    found = {name.partition("/")[0] for name in names}
    scopes = (backbone.scope for backbone in BACKBONES.values())
    return next((scope for scope in scopes if scope in found), None)


def official_weights(model: keras.Model) -> Iterator[tuple[str, Target]]:
    """Yields the name of its TensorFlow variable with every weight of a model of `scope_of`."""
    scope = scope_of(model)
    assert scope is not None
    for layer in model.layers:
        path, name = _path(layer.name, scope), layer.name.replace("-", ".")
        if isinstance(layer, keras.layers.BatchNormalization):
            for part in _NORM_PARTS:
                yield f"{path}/BatchNorm/{part}", Target(name, getattr(layer, part))
            continue
        for kind, kernel in _KERNELS.items():
            if isinstance(layer, kind):
                yield f"{path}/{kernel}", Target(name, layer.kernel)
                if layer.use_bias:
                    yield f"{path}/biases", Target(name, layer.bias)
                break


def _path(layer: str, scope: str) -> str:
    """Path of the variables of a layer, without that of its batch norm."""
    part, _, rest = layer.partition("-")
    if part == "backbone":
        return f"{scope}/{rest.removesuffix('-BatchNorm').replace('-', '/')}"
    module = rest.removesuffix("-conv").removesuffix("-bn").replace("-", ".")
    return _HEAD.get(module, layer)


def match_variables(
    model: keras.Model, variables: Mapping[str, np.ndarray], *, backbone_only: bool = False
) -> Match:
    """The variables of a checkpoint next to the weights of a model of `scope_of`.

    Args:
        model: Model of `keras_deeplab.build`.
        variables: Arrays by name.
        backbone_only: Whether they are those of a backbone, see `is_backbone`. An ImageNet
            classifier is then left aside, and the heads of the model are absent.
    """
    scope = scope_of(model)
    arrays = {
        name: np.asarray(array)
        for name, array in variables.items()
        if not (backbone_only and _IMAGENET_CLASSIFIER.match(name.removeprefix(f"{scope}/")))
    }
    found = scope_in(variables)
    if variables and found != scope:
        what = "none of these" if found is None else f"those of {found}"
        raise CheckpointError(
            f"The variables of model {model.name!r} begin with {scope}/, but the state dict has "
            f"{what}: {listed(list(variables), 4)}"
        )
    match = Match("The checkpoint", f"model {model.name!r}", dict(official_weights(model)), arrays)
    return match.of_backbone() if backbone_only else match


def is_backbone(names: Iterable[str]) -> bool:
    """Whether variables with these names are those of a backbone alone."""
    paths = tuple(f"{path}/" for path in _MODULES)
    return not any(name.startswith(paths) for name in names)


def kernel_shapes(variables: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """Shapes `(height, width, in, out)` of the kernels by reference name of their layer."""
    scope = scope_in(variables)
    shapes = {}
    for name, array in variables.items():
        path, _, kind = name.rpartition("/")
        if array.ndim != 4 or kind not in _KERNELS.values():
            continue
        if scope is not None and path.startswith(f"{scope}/"):
            rest = path.removeprefix(f"{scope}/")
            if not _IMAGENET_CLASSIFIER.match(f"{rest}/"):
                shapes[f"backbone.{rest.replace('/', '.')}"] = array.shape
        elif path == _HEAD["conv_seg"]:
            shapes["decode_head.conv_seg"] = array.shape
        else:
            module = _MODULES.get(path)
            shapes[path if module is None else f"decode_head.{module}.conv"] = array.shape
    return shapes
