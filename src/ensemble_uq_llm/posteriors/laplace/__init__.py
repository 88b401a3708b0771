"""Laplace's approximation of a member's last layer: its curvature, the prior by evidence, samples and prediction."""
