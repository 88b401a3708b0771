"""Bases in one GGUF file: header, settings and tensors read strictly, weights dequantised into transformers' model."""
