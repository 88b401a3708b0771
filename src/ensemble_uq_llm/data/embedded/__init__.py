"""The embedded world and its questions, whose true probabilities are known."""
