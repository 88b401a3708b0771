"""What is concluded, in sentences."""
