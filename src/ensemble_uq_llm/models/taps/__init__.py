"""What else can be read off the engine, beside logits: gradients example by example, hidden states, moments."""
