"""Floor 2: one frozen base and K stacked adapters; from packed tokens to the logits of all members."""
