"""Turns an ONNX image classifier into a bundle."""
