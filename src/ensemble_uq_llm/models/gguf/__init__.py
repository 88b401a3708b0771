"""Bases in one GGUF file: its header read strictly, then its settings, tokenizer and weights through transformers."""
