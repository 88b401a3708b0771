"""Files that others bring: opened once, bounded, read strictly."""
