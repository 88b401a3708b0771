"""Floor 3: makers of further samples of trained members' weights, one file each, and their registry."""
