"""An ONNX file as a torch module: read, made plain, converted by onnx2torch."""
