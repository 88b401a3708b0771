"""Floor 3: is a run as it was written, and was everything in it made from what there is now. Light: needs no torch."""
