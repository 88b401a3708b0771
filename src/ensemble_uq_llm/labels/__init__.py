"""Floor 0: what a label in any file means, of data and of predictions alike."""
