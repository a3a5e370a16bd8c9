"""The Keras runtime: the model itself, on whatever backend and device Keras uses."""

import functools
import hashlib
import weakref
from collections.abc import Callable
from typing import Any

import keras

from keras_deeplab._internal.errors import InputError
from keras_deeplab.models.deeplab import DeepLabV3Plus
from keras_deeplab.models.inputs import check_fixed_size
from keras_deeplab.models.layers import ResizeLike
from keras_deeplab.runtimes.predictor import Engine, Network, Predictor
from keras_deeplab.runtimes.tensor_form import CHANNELS_FIRST, NATIVE, TensorForm
from keras_deeplab.zoo.metadata import ModelMetadata

POLICIES = {"bfloat16": "mixed_bfloat16"}  # dtype policy of a precision
FLOAT32 = ("preprocessing", "logits", "aux_logits")  # layers of float32 under every policy

_COMPILED: weakref.WeakKeyDictionary[keras.Model, Engine] = weakref.WeakKeyDictionary()


def keras_predictor(model: keras.Model) -> Predictor:
    """`Predictor` of a model as it is: later changes of its weights change the predictions."""
    digest = functools.partial(weights_sha256, model)
    return predictor_of(model, describe_network(model), model.compute_dtype, digest)


def predictor_of(
    model: keras.Model, network: Network, precision: str, digest: Callable[[], str]
) -> Predictor:
    """`Predictor` of a model that computes in a precision; `digest` is its `weights_sha256`."""
    engine = functools.partial(_engine, model)  # keeps the model alive
    return Predictor(network, "keras", precision, engine, digest, size=model.input_shape[1:3])


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 of the arrays of a model's weights as they are, in the order of `get_weights`."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def _engine(model: keras.Model, size: tuple[int, int]) -> Engine:
    check_fixed_size(model.name, model.input_shape[1:3], size)
    return logits_function(model)


def describe_network(model: keras.Model) -> Network:
    """`Network` of a Keras model.

    Raises:
        ValueError: When the model ends in an activation, as prediction needs logits, or when it is
            not a model of this package.
    """
    layers = {layer.name: layer for layer in model.layers}
    if "preprocessing" not in layers:
        raise InputError(
            f"{model.name!r} is not a model of keras_deeplab: it has no layer 'preprocessing'. "
            "Use one of build or load."
        )
    if any(name.endswith("logits-activation") for name in layers):
        raise InputError(
            "The model ends in an activation, but prediction and evaluation need logits: build or "
            "load the model with activation=None."
        )
    metadata = getattr(model, "metadata", None)
    return Network(
        name=(metadata and metadata.name) or model.name,
        metadata=metadata,
        channels=model.input_shape[-1],
        classes=main_output(model.output).shape[-1],
        normalises=layers["preprocessing"].mean is not None,
    )


def main_output(outputs: Any) -> Any:
    """The logits among a model's outputs, without those of an auxiliary head."""
    return outputs["logits"] if isinstance(outputs, dict) else outputs


def logits_function(model: keras.Model) -> Engine:
    """Function from float32 images `(N, H, W, C)` to the model's float32 logits.

    On TensorFlow it is traced once per model, for all image and batch sizes.
    """
    if model not in _COMPILED:
        _COMPILED[model] = _build_logits_function(model)
    return _COMPILED[model]


def _build_logits_function(model: keras.Model) -> Engine:
    reference: Callable[[], Any] = weakref.ref(model)  # the cache must not keep the model alive

    def forward(images: Any) -> Any:
        logits = main_output(reference()(images, training=False))
        return keras.ops.cast(logits, "float32")  # those of the head may have another dtype

    if keras.backend.backend() == "tensorflow":
        forward = traced(forward, (None, *model.input_shape[1:]))
    return lambda images: keras.ops.convert_to_numpy(forward(images))


def traced(forward: Callable[[Any], Any], shape: tuple[int | None, ...]) -> Any:
    """A `tf.function` of float32 images of a shape that may leave sides open."""
    import tensorflow as tf

    return tf.function(forward, input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])


def inference_function(
    model: keras.Model,
    size: tuple[int, int] | None,
    *,
    batch: int | None = None,
    form: TensorForm = NATIVE,
) -> Any:
    """The `tf.function` of a model, for other runtimes to convert.

    Args:
        model: Model of logits.
        size: `(height, width)` of the images; `None` leaves both open.
        batch: Number of images; `None` leaves it open.
        form: `TensorForm` of images and results.

    Raises:
        ValueError: On other backends than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            f"Models are converted on Keras's TensorFlow backend, not on "
            f"{keras.backend.backend()}: use runtime='keras' or --runtime keras, or set "
            "KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    def forward(images: Any) -> Any:
        return main_output(model(images, training=False))

    def channels_first(images: Any) -> Any:
        probabilities = tf.nn.softmax(forward(255 * tf.transpose(images, (0, 2, 3, 1))))
        results = tf.transpose(probabilities, (0, 3, 1, 2))
        return tf.ensure_shape(results, (batch, None, *sides))  # Deepness asks for a square

    sides = size or (None, None)
    shape = form.shape(sides, model.input_shape[-1])
    return traced(channels_first if form == CHANNELS_FIRST else forward, (batch, *shape))


def single_output(model: keras.Model, metadata: ModelMetadata | None) -> DeepLabV3Plus:
    """The model of the main logits at image size, with metadata, of the same layers."""
    (image,) = model.inputs
    logits = main_output(model.output)
    if "logits" not in {layer.name for layer in model.layers}:  # built with resize_logits=False
        aligned = any(getattr(layer, "align_corners", False) for layer in model.layers)
        logits = ResizeLike(aligned, dtype="float32", name="logits")([logits, image])
    single = DeepLabV3Plus(image, logits, name=model.name)
    single.metadata = metadata
    return single


def with_precision(model: keras.Model, precision: str) -> keras.Model:
    """A float32 model in another precision: itself, or a copy under the dtype policy of it."""
    return model if precision == "float32" else _copy(model, POLICIES[precision])


def float32_copy(model: keras.Model) -> keras.Model:
    """A copy of a model, whatever its dtype policy, in float32."""
    return _copy(model, "float32")


def _copy(model: keras.Model, policy: str) -> keras.Model:
    def copy_layer(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name not in FLOAT32:
            config["dtype"] = policy
        try:
            return type(layer).from_config(config)
        except Exception as error:  # of a layer's own code, or of Keras for unknown functions
            raise InputError(f"Layer {layer.name!r} cannot be copied: {error}") from error

    # Without the optimizer and the loss, which may be of a class that cannot be copied.
    uncompiled = keras.Model(model.inputs, model.output, name=model.name)
    twin = keras.models.clone_model(uncompiled, clone_function=copy_layer)
    twin.set_weights(uncompiled.get_weights())
    return twin
