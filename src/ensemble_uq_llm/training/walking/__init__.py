"""Members that train on past their end, so that the moments of their weights are taken."""
