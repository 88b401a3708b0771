"""Floor 1: what every member said about every example, as a record and as files."""
