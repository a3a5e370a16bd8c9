"""Inference: one `Predictor` over Keras, OpenVINO, ONNX Runtime and LiteRT."""
