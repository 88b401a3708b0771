"""Floor 4: samples of a run's members: the stage that makes them, and its command."""
