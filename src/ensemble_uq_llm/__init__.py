"""EnsembleUQLLM: know what a fine-tuned LLM does not know."""
