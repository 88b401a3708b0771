"""What is asked of a base before it is used: its configuration, its family, its weights, and what it computes."""
