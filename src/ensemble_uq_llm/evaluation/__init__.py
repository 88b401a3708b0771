"""Floor 2: from what every member said to uncertainty, quality and decisions; needs no torch."""
