"""Floor 3: what runs members: from disk onto the base, and from examples to every member's logits."""
