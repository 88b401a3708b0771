"""What the members are worth: fewer of them, each alone, and how much they differ."""
