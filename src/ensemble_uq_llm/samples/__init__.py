"""Floor 1: what is known of makers and their samples without the engine."""
