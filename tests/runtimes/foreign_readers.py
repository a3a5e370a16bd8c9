"""Exported files as other programs read them: by each runtime's own functions, nothing of ours."""

import json
import zipfile

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from keras_deeplab.runtimes.openvino_runtime import import_openvino


def run_onnx(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (source,), (_,) = session.get_inputs(), session.get_outputs()
    return session.run(None, {source.name: images})[0]


def run_openvino(path, images):
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return import_openvino().Core().compile_model(path, "CPU", options)(images)[0]


def run_litert(path, images):
    interpreter = Interpreter(str(path))
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    if -1 in source["shape_signature"]:
        interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])


def run_keras(path, images):
    return keras.saving.load_model(path)(images, training=False).numpy()


def run_saved_model(path, images):
    module = tf.saved_model.load(str(path))
    return module.signatures["serving_default"](image=tf.constant(images))["logits"].numpy()


def onnx_properties(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map


def openvino_record(path):
    return import_openvino().Core().read_model(path).get_rt_info("keras_deeplab").value


def litert_record(path):
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (entry,) = (entry for entry in model.metadata if entry.name == b"keras_deeplab")
    return bytes(model.buffers[entry.buffer].data)


def keras_record(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read("keras_deeplab.json")


READERS = {
    "onnx": (run_onnx, lambda path: onnx_properties(path)["keras_deeplab"]),
    "openvino": (run_openvino, openvino_record),
    "litert": (run_litert, litert_record),
    "keras": (run_keras, keras_record),
    "tf_saved_model": (
        run_saved_model,
        lambda path: (path / "assets.extra/keras_deeplab.json").read_text(),
    ),
}
NAMES = {
    "onnx": "model.onnx",
    "openvino": "model.xml",
    "litert": "model.tflite",
    "keras": "model.keras",
    "tf_saved_model": "model",
}


def stored_record(name, path):
    return json.loads(READERS[name][1](path))


def run_file(name, path, images):
    """Results of a file for images of the form that it takes."""
    return READERS[name][0](path, np.ascontiguousarray(images, np.float32))
