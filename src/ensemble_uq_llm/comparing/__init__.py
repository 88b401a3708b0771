"""Floor 4: runs beside each other, from their folders to the tables."""
