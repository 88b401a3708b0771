"""Decoder layers of the LLaMA form, written for packed rows."""
