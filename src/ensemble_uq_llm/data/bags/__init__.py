"""Bags: which rows each member is trained on, where each row is left out of some members."""
