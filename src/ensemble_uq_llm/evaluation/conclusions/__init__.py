"""What the numbers of a set say, where the evidence is enough to say it."""
