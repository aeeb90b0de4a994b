"""An ONNX file as a torch module: read, folded, translated, and held against onnx itself.

May import what `data` may, torch and onnx too.
"""
