"""What is done with uncertainty: abstain, calibrate, answer with sets, notice other data."""
