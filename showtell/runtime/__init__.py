"""Exported models: graphs that ONNX Runtime and OpenVINO run, without PyTorch."""
