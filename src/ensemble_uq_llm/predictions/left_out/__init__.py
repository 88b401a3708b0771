"""Training rows and the members that left them out: some cells of a table of predictions, not all."""
