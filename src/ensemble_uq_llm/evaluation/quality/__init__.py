"""How good predicted probabilities are, against labels and against the truth."""
