"""Heads: what turns a base's last hidden state into logits."""
