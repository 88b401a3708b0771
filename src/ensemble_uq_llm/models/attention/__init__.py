"""Causal attention within each sequence of a pack, in the form that suits the device."""
