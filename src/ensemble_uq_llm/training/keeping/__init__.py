"""What is kept of an unfinished training, so that it goes on."""
