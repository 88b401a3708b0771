"""What hears of the events of training, beside the log: the display, and other people's trackers."""
