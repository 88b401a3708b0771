"""Abstention with a promise: at most so many wrong among the answered."""
