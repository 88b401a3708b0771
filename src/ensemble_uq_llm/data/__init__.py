"""Floor 2: from files, hub data sets and the embedded world to examples, prompts and tokens."""
