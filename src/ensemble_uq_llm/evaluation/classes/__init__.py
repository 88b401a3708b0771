"""Class by class: how often each is right, and what answering without looking would earn."""
